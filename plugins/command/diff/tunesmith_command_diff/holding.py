"""The tensors of a model under the names of its files: as a folder holds them, or computed, where an adapter is merged
or few bits are taken in full."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from tunesmith import TunesmithError
from tunesmith_library_publishing.inventory import Reader, Stored, read_json, tensors_of
from tunesmith_library_publishing.naming import head_names
from tunesmith_library_publishing.weights import Entry, compose, parts_of, published_tensors
from tunesmith_library_weights.dequantising import dequantised, in_full

from tunesmith_command_diff.findings import some
from tunesmith_command_diff.subjects import Subject

_NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.float64: "F64"}


@dataclass(frozen=True)
class Held:
    """The tensors of a model, in files or in memory."""

    entries: Mapping[str, Entry]
    computed: bool = False  # in float32, out of an adapter and its base or out of few bits

    def dtype(self, name: str) -> str:
        """As safetensors names it."""
        entry = self.entries[name]
        return entry.dtype if isinstance(entry, Stored) else _NAMES.get(entry.dtype, str(entry.dtype))

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.entries[name].shape)


class Reading(Reader):
    """Reads what is held one tensor at a time, those in memory too."""

    def __init__(self, held: Held) -> None:
        super().__init__({name: entry for name, entry in held.entries.items() if isinstance(entry, Stored)})
        self._held = held

    def __enter__(self) -> Reading:
        return self

    def __call__(self, name: str) -> torch.Tensor:
        entry = self._held.entries[name]
        return super().__call__(name) if isinstance(entry, Stored) else entry.detach().cpu()


def in_folder(folder: Any) -> Held:
    """Raises: TunesmithError when a file cannot be read, or a folder has no safetensors."""
    found = tensors_of(folder)
    if not found:
        held = some(sorted(file.name for file in folder.iterdir()), 5)
        raise TunesmithError(f"{folder} has no tensors in safetensors files.\n  it has: {held or 'nothing'}")
    return Held(found)


def packing_of(subject: Subject) -> str | None:
    """How a whole model holds its numbers in few bits, by its configuration; None where it does not."""
    try:
        said = None if subject.is_adapter else read_json(subject.folder / "config.json").get("quantization_config")
    except ValueError:  # a damaged file, which the part of the configuration names; the tensors are still compared
        return None
    return str(said.get("quant_method", "few bits")) if said else None


@torch.no_grad()
def whole(subject: Subject) -> Held:
    """A whole model as its folder holds it; an adapter merged into its base, and few bits in full, in float32.

    Raises: TunesmithError when nothing tells what few bits stand for, or an adapter cannot be merged.
    """
    packed = packing_of(subject)
    if not subject.is_adapter and packed is None:
        return in_folder(subject.folder)
    handle = subject.handle
    few_bits = packed is not None or bool(read_json(handle.source.path / "config.json").get("quantization_config"))
    handle = handle if few_bits else subject.unquantised
    with in_full() if few_bits else nullcontext():
        model: Any = handle.load()
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    layers = dequantised(plain)
    if few_bits and not layers:
        raise TunesmithError(f"nothing here tells the numbers that the few bits of {handle.source.address} stand for")
    model = model.float()
    model = handle.merge(model) if subject.is_adapter else model
    base = handle.source.path
    stored = tensors_of(base)
    given_up = [*parts_of(model, stored, base, layers), *(() if model.can_generate() else head_names(base))]
    entries, _ = compose(published_tensors(model, base, stored), stored, given_up)
    return Held(entries, computed=True)
