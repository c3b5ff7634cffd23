"""Starts that are computed: taken out of the base (PiSSA, OLoRA) and given back at the end, or from the data (EVA)."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from peft import initialize_lora_eva_weights
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from tunesmith import TunesmithError, announce
from tunesmith.files import filling
from tunesmith.types import IGNORED, TrainingJob

Start = dict[str, tuple[torch.Tensor, torch.Tensor, float]]
"""Layer -> A0 (R, in), B0 (out, R), both float32, and the scale s: the base was changed to W - s B0 A0."""

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def read_start(model: Any) -> Start:
    """Copy the matrices that a fresh adapter starts with."""
    start: Start = {}
    layers: dict[str, Any] = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    for name, module in layers.items():
        for adapter, layer in module.lora_A.items():
            a, b = (matrix.weight.detach().float().cpu().clone() for matrix in (layer, module.lora_B[adapter]))
            start[name] = (a, b, float(module.scaling[adapter]))
    return start


def give_back(folder: Path, start: Start) -> None:
    """Rewrite a saved adapter of a changed base as a plain LoRA of the untouched one, of twice the rank.

    W - s B0 A0 + s B A = W + [s B, -s B0] [A; A0]  (Meng et al. 2024, PiSSA, arXiv 2404.02948, appendix on the
    conversion to LoRA). The scale goes into B, so that alpha / rank is 1. A layer with fewer outputs than the rank had
    as many as it has.
    """
    config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    weights = load_file(folder / _WEIGHTS)
    for name, (first_a, first_b, scale) in start.items():
        a, b = f"{name}.lora_A.weight", f"{name}.lora_B.weight"
        weights[a] = torch.cat([weights[a].float(), first_a])
        weights[b] = torch.cat([weights[b].float() * scale, first_b * -scale], dim=1)
    rank = 2 * config["r"]
    found = {name.removeprefix("base_model.model."): len(weights[f"{name}.lora_A.weight"]) for name in start}
    ranks = {layer: width for layer, width in found.items() if width != rank}
    changes = {"r": rank, "lora_alpha": rank, "rank_pattern": ranks, "alpha_pattern": ranks}
    config |= {**changes, "use_rslora": False, "init_lora_weights": True}
    with filling(folder, last=(_CONFIG,)) as draft:
        save_file(weights, draft / _WEIGHTS, {"format": "pt"})
        (draft / _CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")
    announce("adapter", f"plain LoRA of rank {rank}", "what the start took out of the base is in it, with a minus")


def learn_from_activations(job: TrainingJob, batch_size: int = 4) -> None:
    """Let A start with the directions in which each layer's inputs vary most (EVA).

    Paischer et al. 2024, "One Initialization to Rule them All" (arXiv 2410.07170), section 3.1: the right singular
    vectors of the inputs at trained positions, by an incremental SVD over batches of training data until they stand
    still. The ranks stay as they are (rho = 1).

    Args:
        job: whose model is a peft model made with `init_lora_weights="eva"`; it is changed in place.
        batch_size: examples per step of the SVD.

    Raises: TunesmithError when no example goes through a layer, such as those of a vision tower on data of text.
    """
    model = job.model
    if torch.accelerator.is_available():
        model.to(torch.accelerator.current_accelerator())

    # a batch has columns of its stage's too
    taken = inspect.signature(model.get_base_model().forward).parameters.keys() - {"labels"}

    @torch.no_grad()
    def forward(model: Any, inputs: dict[str, Any]) -> Any:
        return model(**{name: value for name, value in inputs.items() if name in taken}, use_cache=False)

    batches = _Batches(job, batch_size)
    _refuse_unreached(model, lambda: forward(model, next(iter(batches))))
    initialize_lora_eva_weights(
        model,
        batches,
        forward_fn=forward,
        prepare_model_inputs_fn=_looked_at,
        prepare_layer_inputs_fn=_inputs_of,
        gather_distributed_inputs=False,
        show_progress_bar=False,
    )


def _looked_at(inputs: dict[str, Any], peft_config: Any) -> torch.Tensor:
    """At which tokens of a batch inputs are looked at: bool (B, T), those that are trained."""
    mask: torch.Tensor = inputs["attention_mask"].bool()
    return mask & (inputs["labels"] != IGNORED) if "labels" in inputs else mask


def _inputs_of(given: Any, mask: torch.Tensor, name: str) -> torch.Tensor:
    """A layer's inputs (N, width); of a layer that reads no tokens, such as a tower's patches, all of them."""
    hidden: torch.Tensor = given if isinstance(given, torch.Tensor) else given[0]
    return hidden[mask] if hidden.shape[:-1] == mask.shape else hidden.flatten(0, -2)


def _refuse_unreached(model: Any, compute: Callable[[], Any]) -> None:
    """Raise TunesmithError for adapted layers whose inputs cannot be looked at, for there are none."""
    layers: dict[str, Any] = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    reached: set[str] = set()
    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: reached.add(name)) for name, module in layers.items()
    ]
    try:
        compute()
    finally:
        for handle in handles:
            handle.remove()
    rest = [name for name in layers if name not in reached]
    if rest:
        common = set.intersection(*(set(name.split(".")) for name in rest))
        common -= {part for name in reached for part in name.split(".")}
        named = next((part for part in rest[0].split(".") if part in common), rest[0].rpartition(".")[2])
        raise TunesmithError(
            f"adapter.init=eva: no training example goes through {len(rest)} of the {len(layers)} adapted layers, such "
            f"as {rest[0].removeprefix('base_model.model.')}.\n  adapter.exclude_modules=[{named}], or another init"
        )


class _Batches:
    """The training data as padded batches, in its order."""

    def __init__(self, job: TrainingJob, size: int) -> None:
        self._job, self._size = job, size

    def __len__(self) -> int:
        return -(-len(self._job.data.train) // self._size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        data = self._job.data.train
        for start in range(0, len(data), self._size):
            examples = [data[index] for index in range(start, min(start + self._size, len(data)))]
            batch = self._job.collate(examples=examples, padding_free=False)
            yield {name: value for name, value in batch.items() if isinstance(value, torch.Tensor)}
