"""The loss inside the output layer: logits of a whole batch, tokens x vocabulary, are a training step's largest tensor.

While the model runs, its output layer is given another forward, which takes the hidden states in chunks, computes the
logits, the loss and its gradients of each, and keeps only those. All of it happens within `model(...)`, so that DDP,
FSDP, DeepSpeed and peft see an ordinary forward pass. The same idea: Liger (arXiv 2410.10989), Cut Cross-Entropy
(arXiv 2411.09009).
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch.utils.checkpoint import checkpoint
from tunesmith.messages import logger

from tunesmith_library_training import parts
from tunesmith_library_training.known_gradients import WithGradients, WithRowGradients

LossOfRows = Callable[[torch.Tensor, slice], torch.Tensor]
"""Logits (n, V) of some of the kept positions, and which: the sum of their loss, or a value of each, (n,)."""

Combine = Callable[["LossOfHidden", torch.Tensor, list[torch.nn.Parameter], int], torch.Tensor]
"""How the chunks' losses become one tensor: `chunked_sum` or `chunked_values`."""

LossOfHidden = Callable[[torch.Tensor, slice], torch.Tensor]
"""Hidden states (n, H) of some of the kept positions, and which: as `LossOfRows`."""

Fused = Callable[[torch.Tensor, torch.nn.Linear, "PostProcessing"], torch.Tensor]
"""Hidden states (B·K, H), output layer, and what the model does to logits: the sum of the loss, or each one's value."""

_CHUNK_ELEMENTS = 2**25  # logits of a chunk: 128 MiB in fp32


@functools.cache
def _probe(device: torch.device) -> torch.Tensor:
    # what a model does to these "logits" it does to all; made once: copies from the host wait for the device
    return torch.tensor((-2.0, 0.5, 100.0), device=device)


# Output layers whose logits the model changes in a way that `post_processing` does not know.
_opaque: weakref.WeakSet[torch.nn.Module] = weakref.WeakSet()
_transparent: weakref.WeakSet[torch.nn.Module] = weakref.WeakSet()


def run(
    model: Any,
    inputs: dict[str, Any],
    keep: torch.Tensor,
    loss_of: LossOfRows,
    chunk_size: int = 0,
    combine: Combine | None = None,
    fused: Fused | None = None,
) -> tuple[torch.Tensor, Any]:
    """Run the model and compute the loss of the kept positions.

    Args:
        model: wrapped as it may be.
        inputs: of the model.
        keep: int64 (K,), positions of dim 1 whose logits are wanted, in all rows.
        loss_of: of flattened positions: row b, kept position k is number b·K + k.
        chunk_size: positions per chunk; 0 is as many as fit 128 MiB of logits.
        combine: `chunked_sum` when None; `chunked_values` for a `loss_of` that gives one value per position.
        fused: computes the same in place of `loss_of` where the output layer is a plain `Linear`.

    Returns: the sum, a scalar, or the values (B·K,); and the model's outputs (whose `logits` mean nothing).
    """
    base = unwrap(model)
    part = parts.part_of(base, inputs)
    inputs, keep = part.inputs(inputs, keep)
    with part.running():
        loss, outputs = _run(model, base, inputs, keep, loss_of, chunk_size, combine, fused)
    part.complete(base, outputs)
    return loss, outputs


def _run(
    model: Any,
    base: Any,
    inputs: dict[str, Any],
    keep: torch.Tensor,
    loss_of: LossOfRows,
    chunk_size: int,
    combine: Combine | None,
    fused: Fused | None,
) -> tuple[torch.Tensor, Any]:
    """`run` for a batch, or a part of one, as it is."""
    if "logits_to_keep" in inspect.signature(base.forward).parameters:
        inputs = {**inputs, "logits_to_keep": keep}
    layer = base.get_output_embeddings()
    if layer is None or layer in _opaque or isinstance(model, torch._dynamo.OptimizedModule):
        return _run_whole(model, inputs, keep, loss_of)
    combine = combine or chunked_sum
    loss_layer = LossLayer(layer, post_processing(base.config), keep, loss_of, chunk_size, combine, fused)
    with _forward_of(layer, loss_layer):
        outputs = model(**inputs, use_cache=False)
    if loss_layer.loss is None or not _is_faithful(layer, loss_layer, outputs.logits):
        _opaque.add(layer)
        logger.info("loss: in one piece (%s does not let its logits be computed in chunks)", type(base).__name__)
        return _run_whole(model, inputs, keep, loss_of)
    # The model's output must be part of the graph: wrappers hang their backward hooks on it.
    return loss_layer.loss + 0.0 * outputs.logits.float().sum(), outputs


def _run_whole(model: Any, inputs: dict[str, Any], keep: torch.Tensor, loss_of: LossOfRows) -> tuple[torch.Tensor, Any]:
    outputs = model(**inputs, use_cache=False)
    logits = _kept(outputs.logits, keep).flatten(0, 1)
    return loss_of(logits, slice(None)), outputs


def unwrap(model: Any) -> Any:
    """The transformers model within DDP and other wrappers and adapters, to ask it about itself, not to call it."""
    # DeepSpeed's engine passes attributes of its module on, and has a `config` of its own
    while "module" in getattr(model, "_modules", ()) or not hasattr(model, "get_output_embeddings"):
        model = model.module
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _kept(values: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """Positions `keep` of (B, T, …), unless the model has taken them already."""
    return values if values.shape[1] == keep.shape[0] else values[:, keep]


@dataclass(frozen=True)
class PostProcessing:
    """What a model does to its logits: times `scale`, then c·tanh(x/c) with c = `cap`."""

    scale: float = 1.0
    cap: float | None = None

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        logits = logits if self.scale == 1.0 else logits * self.scale
        return self.cap * torch.tanh(logits / self.cap) if self.cap else logits


def post_processing(config: Any) -> PostProcessing:
    """What a model does to its logits by its configuration.

    Gemma caps them (`final_logit_softcapping`, `logits_soft_cap`), Cohere multiplies (`logit_scale`), Granite divides
    (`logits_scaling`).
    """
    text = config.get_text_config()
    cap = getattr(text, "final_logit_softcapping", None) or getattr(text, "logits_soft_cap", None)
    scale = (getattr(text, "logit_scale", None) or 1.0) / (getattr(text, "logits_scaling", None) or 1.0)
    return PostProcessing(scale, cap)


@contextmanager
def _forward_of(layer: torch.nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Give a layer another forward for the time of the block; its hooks stay."""
    own = layer.__dict__.get("forward")
    layer.forward = forward
    try:
        yield
    finally:
        del layer.forward
        if own is not None:
            layer.forward = own


def _is_faithful(layer: torch.nn.Module, loss_layer: LossLayer, logits: torch.Tensor) -> bool:
    """Whether the model treats logits as `post_processing` says: seen once, from what became of the probe."""
    if layer not in _transparent:
        probe = _probe(logits.device)
        seen = logits.detach().flatten()[1:].float()
        if seen.shape != probe.shape or not torch.allclose(seen, loss_layer.process(probe), rtol=1e-2):
            return False
        _transparent.add(layer)
    return True


class LossLayer:
    """Stands in for an output layer's forward: hidden states in, (1, 1, 4) of their loss and the probe out."""

    def __init__(
        self,
        layer: torch.nn.Module,
        process: PostProcessing,
        keep: torch.Tensor,
        loss_of: LossOfRows,
        chunk_size: int,
        combine: Combine,
        fused: Fused | None,
    ) -> None:
        self.layer, self.process, self.keep, self.loss_of = layer, process, keep, loss_of
        self.chunk_size, self.combine, self.fused = chunk_size, combine, fused
        self.forward = layer.forward
        self.loss: torch.Tensor | None = None

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """Args: hidden: (B, T or K, H)."""
        hidden = _kept(hidden, self.keep).flatten(0, 1)
        trained = [parameter for parameter in self.layer.parameters() if parameter.requires_grad]
        # the gradient of a weight, of values whose own factors come later, is not known yet
        known = self.combine is chunked_sum or not trained
        if self.fused is not None and known and _is_plain(self.layer, self.forward):
            self.loss = self.fused(hidden, self.layer, self.process)
        else:
            self.loss = self.combine(self._loss_of_chunk, hidden, trained, self.chunk_size or self._choose_chunk())
        return torch.cat([self.loss.sum().view(1, 1, 1), _probe(hidden.device).view(1, 1, -1)], dim=-1)

    def _loss_of_chunk(self, hidden: torch.Tensor, rows: slice) -> torch.Tensor:
        return self.loss_of(self.process(self.forward(hidden).float()), rows)

    def _choose_chunk(self) -> int:
        weight: Any = self.layer.weight  # a parameter; quantisers have classes of their own
        vocabulary: int = getattr(self.layer, "out_features", 0) or max(weight.shape)
        return max(_CHUNK_ELEMENTS // vocabulary, 1)


def _is_plain(layer: torch.nn.Module, forward: Any) -> TypeGuard[torch.nn.Linear]:
    """Whether a layer is its weight and bias and no more: no adapter, no forward of its own, not quantised."""
    if getattr(forward, "__func__", None) is not torch.nn.Linear.forward:
        return False
    if not isinstance(layer, torch.nn.Linear) or type(layer.weight) not in (torch.nn.Parameter, torch.Tensor):
        return False
    return layer.weight.is_floating_point() and layer.weight.shape == (layer.out_features, layer.in_features)


def chunked_sum(
    loss_of_chunk: LossOfHidden,
    hidden: torch.Tensor,
    parameters: list[torch.nn.Parameter],
    chunk_size: int,
) -> torch.Tensor:
    """Sum a loss over chunks of hidden states (K, H), with the gradients computed on the way, chunk by chunk.

    Each chunk's graph is freed before the next begins, and nothing is computed twice.

    Args:
        loss_of_chunk: gives a scalar.
        parameters: that `loss_of_chunk` uses and that are trained.

    Returns: scalar fp32, differentiable in `hidden` and `parameters`.
    """
    chunks = [slice(start, start + chunk_size) for start in range(0, len(hidden), chunk_size)]
    needs_hidden = hidden.requires_grad
    if not torch.is_grad_enabled() or not (needs_hidden or parameters):
        return torch.stack([loss_of_chunk(hidden[rows], rows) for rows in chunks]).sum()
    losses, of_hidden, of_parameters = [], [], [torch.zeros_like(item, dtype=torch.float32) for item in parameters]
    for rows in chunks:
        piece = hidden[rows].detach().requires_grad_(needs_hidden)
        loss = loss_of_chunk(piece, rows)
        wanted = [piece, *parameters] if needs_hidden else parameters
        gradients = list(torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True))
        if needs_hidden:
            of_hidden.append(gradients.pop(0))
        for total, gradient in zip(of_parameters, gradients, strict=True):
            total += gradient
        losses.append(loss.detach())
    wanted, found = ([hidden, *parameters], [torch.cat(of_hidden)]) if needs_hidden else (parameters, [])
    found += [total.to(item.dtype) for total, item in zip(of_parameters, parameters, strict=True)]
    total_loss: torch.Tensor = WithGradients.apply(  # type: ignore[no-untyped-call]  # torch does not annotate it
        torch.stack(losses).sum(), found, *wanted
    )
    return total_loss


def chunked_values(
    values_of_chunk: LossOfHidden,
    hidden: torch.Tensor,
    parameters: list[torch.nn.Parameter],
    chunk_size: int,
) -> torch.Tensor:
    """Compute a value of each hidden state (K, H), chunk by chunk, for a loss that is not their sum.

    A value's gradient depends on its own hidden state alone, so it is taken on the way, times what comes back for the
    value. That of trained `parameters` cannot be: each chunk is then computed again in the backward pass.

    Args:
        values_of_chunk: gives a value per row, (n,).
        parameters: that `values_of_chunk` uses and that are trained.

    Returns: (K,) fp32, differentiable in `hidden` and `parameters`.
    """
    chunks = [slice(start, start + chunk_size) for start in range(0, len(hidden), chunk_size)]
    if not torch.is_grad_enabled() or not (hidden.requires_grad or parameters):
        return torch.cat([values_of_chunk(hidden[rows], rows) for rows in chunks])
    if parameters:
        return torch.cat([checkpoint(values_of_chunk, hidden[rows], rows, use_reentrant=False) for rows in chunks])
    values: list[torch.Tensor] = []
    gradients: list[torch.Tensor] = []
    for rows in chunks:
        piece = hidden[rows].detach().requires_grad_()
        some = values_of_chunk(piece, rows)
        gradients += torch.autograd.grad(some.sum(), piece)
        values.append(some.detach())
    joined: torch.Tensor = WithRowGradients.apply(  # type: ignore[no-untyped-call]  # torch does not annotate it
        torch.cat(values), torch.cat(gradients), hidden
    )
    return joined
