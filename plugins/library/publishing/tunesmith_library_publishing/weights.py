"""The tensors of a result: what training changed in new numbers, everything else as the base's files hold it.

transformers renames and regroups tensors while it loads them (experts become one tensor, a prefix goes). They are
written as they were read. A tensor that the model holds as the base does, but for the rounding to the numbers it was
loaded in, is copied from the base's file bit for bit, and so is one that the model never loaded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import split_state_dict_into_shards_factory
from safetensors.torch import save_file
from transformers.core_model_loading import revert_weight_conversion
from transformers.modeling_utils import remove_tied_weights_from_state_dict
from tunesmith_library_weights.cut import shape_of

from tunesmith_library_publishing.files import open_to_readers
from tunesmith_library_publishing.inventory import Numbers, Reader, Stored, tensors_of
from tunesmith_library_publishing.naming import names_of

Entry = torch.Tensor | Stored
"""A tensor to write: the model's, or one of the base's files."""


@dataclass(frozen=True)
class Kept:
    """What became of a base's tensors."""

    changed: tuple[str, ...]  # with other values
    same: tuple[str, ...]  # loaded, and copied bit for bit
    unloaded: tuple[str, ...]  # never loaded, and copied bit for bit
    replaced: tuple[str, ...]  # given up for others, such as an output layer for the head of a classifier
    new: tuple[str, ...]  # tensors that the base does not have

    def described(self) -> str:
        """The counts in words."""
        total = sum(map(len, (self.changed, self.same, self.unloaded, self.replaced)))
        copied = len(self.same) + len(self.unloaded)
        parts = [f"{len(self.changed)} changed, {copied} of {total} of the base's copied bit for bit"]
        if self.unloaded:
            parts.append(f"{len(self.unloaded)} of these never loaded: {_families(self.unloaded)}")
        if self.replaced:
            parts.append(f"{len(self.replaced)} replaced: {_families(self.replaced)}")
        if self.new:
            parts.append(f"{len(self.new)} new: {_families(self.new)}")
        return "; ".join(parts)


Renaming = Callable[[Mapping[str, torch.Tensor]], dict[str, torch.Tensor]]
"""From tensors under the names of a model to tensors under the names of its base's files."""


def renaming(model: Any, base: Path, known: Collection[str]) -> Renaming:
    """How the tensors of a model are called in the files of its base.

    transformers remembers most of what it changed on the way in. Not so the prefix that it finds for itself where the
    model is a part of the published one; there the names go through the published class.

    Args:
        known: names in the base's files.
    """

    def own(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return dict(revert_weight_conversion(model, dict(tensors)))

    state = model.state_dict(keep_vars=True)  # in which weights that are cut in pieces know their shapes
    shapes = {name: torch.empty(shape_of(item), dtype=item.dtype, device="meta") for name, item in state.items()}
    found = own(shapes)
    if 2 * len(found.keys() & set(known)) >= len(found):
        return own
    names = names_of(model, base)
    if names is None:
        return own
    part = names

    def published(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        renamed = {part.published(name): tensor for name, tensor in tensors.items()}
        return dict(revert_weight_conversion(part.skeleton, renamed))

    better = len(published(shapes).keys() & set(known)) > len(found.keys() & set(known))
    return published if better else own


def published_tensors(
    model: Any, base: Path, known: Collection[str], weights: Mapping[str, torch.Tensor] | None = None
) -> dict[str, torch.Tensor]:
    """A model's tensors under the names that they have in the files of its base.

    Args:
        model: of transformers.
        known: names in the base's files. Of a tensor with several names (output head and embeddings) those are
            given that the base has, and one at least; a buffer that the base does not have is left out.
        weights: of a model that is spread over processes, gathered; None: the model's own.
    """
    rename = renaming(model, base, known)
    state: dict[str, torch.Tensor] = dict(model.state_dict() if weights is None else weights)
    single = remove_tied_weights_from_state_dict(dict(state), model)
    tied = {name: tensor for name, tensor in state.items() if name not in single}
    published = rename(single)
    for name, tensor in tied.items():
        published |= {alias: tensor for alias in rename({name: tensor}) if alias in known}
    buffers = {id(state[name]) for name, _ in model.named_buffers() if name in state}
    return {name: tensor for name, tensor in published.items() if name in known or id(tensor) not in buffers}


def parts_of(model: Any, stored: Mapping[str, Stored], base: Path, layers: Collection[str]) -> list[str]:
    """The tensors of a base's files that stand for layers which the model holds in full: few bits, and their scales.

    Args:
        layers: names in the model of those that were dequantised.
    """
    rename, state = renaming(model, base, stored), model.state_dict()
    meta = {f"{layer}.weight": torch.empty_like(state[f"{layer}.weight"], device="meta") for layer in layers}
    owners = tuple(name.removesuffix("weight") for name in (rename(meta) if meta else ()))
    return [name for name in stored if name.startswith(owners)] if owners else []


def compose(
    tensors: Mapping[str, torch.Tensor], stored: Mapping[str, Stored], replaced: Collection[str] = ()
) -> tuple[dict[str, Entry], Kept]:
    """Decide for every tensor whether the model's or the base's file is written.

    Args:
        tensors: what `published_tensors` gave.
        stored: what the base's folder holds.
        replaced: names of the base's that the model has given up.
    """
    entries: dict[str, Entry] = {}
    changed, same, new = [], [], []
    with Reader(stored) as read:
        for name, tensor in tensors.items():
            if name not in stored:
                new.append(name)
            elif _unchanged(tensor, stored[name], read, name):
                same.append(name)
                entries[name] = stored[name]
                continue
            else:
                changed.append(name)
            entries[name] = tensor
    given_up = tuple(name for name in stored if name in replaced and name not in tensors)
    unloaded = tuple(name for name in stored if name not in tensors and name not in replaced)
    entries |= {name: stored[name] for name in unloaded}
    return entries, Kept(tuple(changed), tuple(same), unloaded, given_up, tuple(new))


def _unchanged(tensor: torch.Tensor, stored: Stored, read: Reader, name: str) -> bool:
    if tuple(tensor.shape) != stored.shape:
        return False
    was, now = read(name), tensor.detach().cpu()
    if was.is_floating_point() != now.is_floating_point():
        return False
    return torch.equal(was.to(now.dtype), now)


def write(entries: Mapping[str, Entry], folder: Path, max_shard_size: str, numbers: Numbers | None = None) -> None:
    """Write tensors as safetensors files, with an index where they are several; a file's worth is in memory at a time.

    Args:
        max_shard_size: such as `5GB`.
        numbers: what the tensors are rounded to; None leaves them as they are.
    """
    split = split_state_dict_into_shards_factory(
        dict(entries),
        get_storage_size=lambda entry: _bytes(entry),
        filename_pattern="model{suffix}.safetensors",
        max_shard_size=max_shard_size,
    )
    with Reader({name: entry for name, entry in entries.items() if isinstance(entry, Stored)}) as read:
        for file, names in split.filename_to_tensors.items():
            part = {name: _rounded(name, entries[name], read, numbers) for name in names}
            save_file(part, folder / file, {"format": "pt"})
            open_to_readers(folder / file)
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        text = json.dumps(index, indent=2, sort_keys=True) + "\n"
        (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")


def round_like(model: Any, base: Path, numbers: Numbers) -> list[str]:
    """Round a model's weights to the numbers of the tensors that they will be written as; their dtype stays.

    Args:
        base: the folder that it was loaded from.

    Returns: the names of the weights that are not finite afterwards.
    """
    rename, overflown = renaming(model, base, tensors_of(base)), []
    for name, parameter in model.named_parameters():
        if not parameter.is_floating_point():
            continue
        target = _numbers_of(rename, name, parameter, numbers)
        parameter.data = parameter.data.to(target).to(parameter.dtype)
        if target is torch.float16 and not parameter.isfinite().all():
            overflown.append(name)
    return overflown


def _numbers_of(rename: Renaming, name: str, parameter: torch.Tensor, numbers: Numbers) -> torch.dtype:
    """The numbers of a weight, which several tensors of a file may make up (experts); the most precise of theirs."""
    try:
        names = rename({name: torch.empty_like(parameter, device="meta")})
    except (KeyError, ValueError, RuntimeError):  # one tensor of the file is several weights, and needs them all
        names = {name: parameter}
    found = [numbers.of(tensor) for tensor in names] or [numbers.of(name)]
    return max(found, key=lambda dtype: torch.finfo(dtype).bits)


def _rounded(name: str, entry: Entry, read: Reader, numbers: Numbers | None) -> torch.Tensor:
    """A tensor as it is written, with memory of its own."""
    tensor = read(name) if isinstance(entry, Stored) else entry.detach().cpu().contiguous().clone()
    if numbers is None or tensor.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return tensor
    return tensor.to(numbers.of(name))


def _bytes(entry: Entry) -> int:
    if isinstance(entry, torch.Tensor):
        return entry.numel() * entry.element_size()
    bits = re.search(r"\d+", entry.dtype)
    return torch.Size(entry.shape).numel() * (int(bits[0]) if bits else 8) // 8


def _families(names: Collection[str]) -> str:
    """What a few hundred names have in common: their first parts, with counts."""
    counts: dict[str, int] = {}
    for name in names:
        family = ".".join(name.split(".")[: 2 if name.startswith("model.") else 1])
        counts[family] = counts.get(family, 0) + 1
    return ", ".join(f"{family} ({count})" if count > 1 else family for family, count in counts.items())
