"""What the linear layers of a model see on training data, one decoder layer after the other.

Only one decoder layer's activations are there at a time: the inputs of the next layer are what the layer before gives
after it was quantised, so that each layer makes up for the errors below it too.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import nn
from tunesmith import TunesmithError
from tunesmith_library_training import processes

Batch = Mapping[str, Any]
Linears = dict[str, nn.Linear]

_ZERO = torch.zeros(())  # a sum of nothing, of any shape
_PER_TOKEN = {"input_ids", "attention_mask", "position_ids"}  # (B, T), and can be cut


@dataclass
class Statistics:
    """Of the inputs x (tokens, in) of a layer, summed over the tokens."""

    hessian: torch.Tensor = _ZERO  # Σ x xᵀ (in, in), float32
    magnitude: torch.Tensor = _ZERO  # Σ |x| (in,), float32
    tokens: int = 0
    largest: torch.Tensor = _ZERO  # max |x| (), float32

    def add(self, x: torch.Tensor) -> None:
        x = x.float()
        self.hessian = self.hessian + x.T @ x
        self.magnitude = self.magnitude + x.abs().sum(0)
        self.tokens += len(x)
        self.largest = torch.maximum(self.largest.to(x.device), x.abs().amax()) if len(x) else self.largest


@dataclass
class Call:
    """How the model calls a decoder layer for one batch."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    kept: torch.Tensor | None  # (B, T) bool: the tokens that are no padding; None: all

    @property
    def hidden(self) -> torch.Tensor:
        hidden: torch.Tensor = self.args[0] if self.args else self.kwargs["hidden_states"]
        return hidden

    def put(self, hidden: torch.Tensor) -> None:
        if self.args:
            self.args = (hidden, *self.args[1:])
        else:
            self.kwargs = {**self.kwargs, "hidden_states": hidden}


@dataclass
class Block:
    """A decoder layer on the device that computes, with what it is called with for every batch."""

    name: str  # dotted, in the model
    module: nn.Module
    calls: list[Call]
    device: torch.device
    chosen: set[str] = field(default_factory=set)  # the layers to quantise, by their dotted names in the model

    def run(self, call: Call, module: nn.Module | None = None, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The hidden states (B, T, H) that the layer gives."""
        args, kwargs = _moved((call.args, call.kwargs), self.device, dtype)
        output = (self.module if module is None else module)(*args, **kwargs)
        hidden: torch.Tensor = output[0] if isinstance(output, tuple) else output
        return hidden

    def groups(self) -> list[Linears]:
        """The linear layers to quantise, those that share their input together, in the order in which they compute."""
        seen: dict[int, tuple[torch.Tensor, Linears]] = {}

        def note(name: str, layer: nn.Linear) -> Callable[..., None]:
            def hook(_: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
                seen.setdefault(id(args[0]), (args[0], {}))[1][name] = layer  # the tensor is kept, so its id stays its

            return hook

        with _hooked(layer.register_forward_pre_hook(note(name, layer)) for name, layer in self._linear().items()):
            self.run(self.calls[0])
        return [linears for _, linears in seen.values()]

    def statistics(self, groups: Sequence[Linears]) -> list[Statistics]:
        """What the groups see over all batches."""
        found = [Statistics() for _ in groups]
        call = self.calls[0]

        def note(statistics: Statistics) -> Callable[..., None]:
            def hook(_: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
                x, kept = args[0], call.kept
                if kept is not None and x.shape[:2] == kept.shape:
                    statistics.add(x[kept.to(x.device)])
                else:
                    statistics.add(x.flatten(0, -2))

            return hook

        firsts = (next(iter(linears.values())) for linears in groups)
        with _hooked([layer.register_forward_pre_hook(note(s)) for layer, s in zip(firsts, found, strict=True)]):
            for call in self.calls:
                self.run(call)
        return found

    def replace(self, name: str, layer: nn.Module) -> None:
        """Put a quantised layer in the place of one that `groups` gave."""
        self.module.set_submodule(name.removeprefix(f"{self.name}."), layer)

    def _linear(self) -> Linears:
        inner = ((f"{self.name}.{name}", layer) for name, layer in self.module.named_modules())
        return {name: layer for name, layer in inner if type(layer) is nn.Linear and name in self.chosen}


def blocks(model: Any, batches: Iterable[Batch], chosen: Iterable[str], samples: int, length: int) -> Iterator[Block]:
    """Every decoder layer with its inputs; when the next is asked for, the outputs of the one before are computed.

    Args:
        batches: of training data; `model(...)`'s arguments are taken from them.
        chosen: dotted names of the layers to quantise.
        samples: batches to look at.
        length: tokens of a sequence to look at; the rest is cut off.

    Raises: TunesmithError when the model has no decoder layers, or the data no batch with `input_ids`.
    """
    training, chosen = model.training, set(chosen)
    names = decoder_layers(model)
    model.eval()
    try:
        calls = _recorded(model, [model.get_submodule(name) for name in names], islice(batches, samples), length)
        for index, name in enumerate(names):
            module = model.get_submodule(name)
            home = next(module.parameters()).device
            block = Block(name, module, calls[index], compute_device(home), chosen)
            module.to(block.device)
            yield block
            if index + 1 < len(names):
                for call, following in zip(calls[index], calls[index + 1], strict=True):
                    following.put(block.run(call).to(call.hidden.device))
            calls[index] = []
            module.to(home)
    finally:
        model.train(training)


def decoder_layers(model: Any) -> list[str]:
    """The dotted names of the decoder layers: the list with the most parameters in the language model."""
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model
    lists = [module for module in (decoder or model).modules() if isinstance(module, nn.ModuleList) and len(module)]
    if not lists:
        raise TunesmithError(f"{type(model).__name__} has no list of decoder layers, and cannot be calibrated.")
    layers = max(lists, key=lambda module: sum(weight.numel() for weight in module.parameters()))
    path = next(name for name, module in model.named_modules() if module is layers)
    return [f"{path}.{index}" for index in range(len(layers))]


def compute_device(home: torch.device) -> torch.device:
    """Where a layer is calibrated: on the accelerator, though in training the weights are still on the CPU."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if home.type == "cpu" and accelerator is not None:
        return torch.device(accelerator.type, processes.local_rank())
    return home


def _recorded(model: Any, layers: list[nn.Module], batches: Iterable[Batch], length: int) -> list[list[Call]]:
    """How each layer is called for each batch: by layer, then by batch.

    The layers themselves are skipped, so that this costs no more than the embeddings and the masks; only the first
    computes once, to learn whether the layers of this model give a tuple.
    """
    calls: list[list[Call]] = [[] for _ in layers]
    kept: torch.Tensor | None = None
    gives_tuple: bool | None = None

    def stand_in(index: int, original: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> Any:
            nonlocal gives_tuple
            call = Call(args, kwargs, kept)
            calls[index].append(call)
            if gives_tuple is None:
                gives_tuple = isinstance(original(*args, **kwargs), tuple)
            return (call.hidden, None) if gives_tuple else call.hidden

        return forward

    patched = [vars(layer).get("forward") for layer in layers]  # a patch may have put its own there
    for index, layer in enumerate(layers):
        layer.forward = stand_in(index, layer.forward)
    try:
        for batch in batches:
            inputs, kept = _inputs(model, batch, length)
            model.base_model(**inputs, use_cache=False)
    finally:
        for layer, forward in zip(layers, patched, strict=True):
            del layer.forward
            if forward is not None:
                layer.forward = forward
    if not calls[0]:
        raise TunesmithError("there is no training data to calibrate with")
    return calls


def _inputs(model: Any, batch: Batch, length: int) -> tuple[dict[str, Any], torch.Tensor | None]:
    """The model's arguments of a batch, and which tokens are no padding (None: all)."""
    if "input_ids" not in batch:
        raise TunesmithError(
            f"calibrating needs batches with input_ids, and this stage's have {', '.join(sorted(batch))}.\n"
            "  take a model that is stored quantised already, or quantizer=hqq, which looks at no data"
        )
    known = inspect.signature(model.forward).parameters
    inputs = {name: value for name, value in batch.items() if name in known and name != "labels"}
    if set(inputs) <= _PER_TOKEN:
        inputs = {name: value[:, :length] for name, value in inputs.items()}
    mask = inputs.get("attention_mask")
    if mask is not None and bool(mask.all()):
        del inputs["attention_mask"]
        mask = None
    return _moved(inputs, next(model.parameters()).device), None if mask is None else mask.bool()


def _moved(value: Any, device: torch.device, dtype: torch.dtype | None = None) -> Any:
    """Tensors within tuples, lists and dicts, on a device; those of floating point in `dtype`, when one is given."""
    if isinstance(value, torch.Tensor):
        return value.to(device, dtype if value.is_floating_point() else None)
    if isinstance(value, dict):
        return {name: _moved(item, device, dtype) for name, item in value.items()}
    return type(value)(_moved(item, device, dtype) for item in value) if type(value) in (tuple, list) else value


@contextlib.contextmanager
def _hooked(handles: Iterable[Any]) -> Iterator[None]:
    """Hooks that are removed when the block ends."""
    handles = list(handles)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
