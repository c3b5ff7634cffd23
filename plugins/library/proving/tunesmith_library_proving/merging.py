"""The whole model of a run in a folder: its adapter folded in, rounded once, as its base was published, and proven.

What `exporter=merged` writes, and what exporters of other formats start from. Those of one command share it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError, announce
from tunesmith.files import replacing
from tunesmith.types import ModelHandle
from tunesmith_library_configuration.owners import this_process
from tunesmith_library_configuration.space import is_of_disk, refuse_little, remedy, shortage
from tunesmith_library_publishing.cards import write_card
from tunesmith_library_publishing.heads import keep_heads
from tunesmith_library_publishing.inventory import Numbers, read_json, size_in, tensors_of
from tunesmith_library_publishing.whole import save_whole
from tunesmith_library_weights.dequantising import dequantised, in_full

from tunesmith_library_proving.gate import skipped
from tunesmith_library_proving.rounding import chosen_numbers, held_narrower, refuse_non_finite, round_weights
from tunesmith_library_proving.steps import Proof


@dataclass(frozen=True)
class Wanted:
    """How a merged model is to be written."""

    dtype: str = "auto"  # torch's name; auto is the base's, tensor by tensor
    max_shard_size: str = "5GB"
    verify: bool = True
    tolerance: float = 1e-3  # largest difference of a logit that merging, or writing, may make
    reason: str = "exporter.dtype"  # why it is that dtype, where it is not the base's


def merged_folder(handle: ModelHandle, beside: Path, wanted: Wanted | None = None) -> Path:
    """A folder with the merged model, for an exporter of another format: what another exporter of the command wrote,
    or one beside its own that is removed when the command ends.

    Args:
        beside: what the exporter writes.

    Raises: as `write_merged`.
    """
    wanted = wanted or Wanted()

    def make() -> Path:
        # the mark of a workshop: one that a killed process leaves is removed by a later command
        marked: Any = {
            "prefix": f".{beside.name}-",
            "suffix": f".{this_process().mark}",
        }
        beside.parent.mkdir(parents=True, exist_ok=True)
        workshop = handle.shared.enter_context(tempfile.TemporaryDirectory(dir=beside.parent, **marked))
        write_merged(handle, Path(workshop) / "merged", wanted, beside)
        return Path(workshop) / "merged"

    found: Path = handle.shared.once(("merged", wanted.dtype), make)
    return found


def export_merged(handle: ModelHandle, output_dir: Path, wanted: Wanted) -> None:
    """Write the merged model where it stays, or take over the one that another exporter of the command has made.

    Raises: as `write_merged`.
    """
    made = handle.shared.get(("merged", wanted.dtype))
    if made is None:
        with replacing(output_dir) as draft:
            write_merged(handle, draft, wanted, output_dir)
    else:
        announce("merged", "copied", "another exporter of this command has made it")
        with replacing(output_dir) as draft:
            shutil.copytree(made, draft, copy_function=_linked)
    handle.shared.offer(("merged", wanted.dtype), output_dir)


def write_merged(handle: ModelHandle, folder: Path, wanted: Wanted, place: Path) -> None:
    """Merge in float32, round once, write, and prove what was written.

    Args:
        folder: is made, where nothing is; the caller moves it to its place.
        place: what the user wants to be written, for messages.

    Raises: TunesmithError when the base is quantised and nothing tells what its few bits stand for, or when merging or
        writing changes the model.
    """
    base = handle.source.path
    numbers = chosen_numbers(base, wanted.dtype, wanted.reason)
    needed = size_in(numbers, tensors_of(base))
    refuse_little(place.parent, needed, "an export of this model takes")
    try:
        _write(handle, folder, wanted, numbers)
    except Exception as error:
        if not is_of_disk(error):
            raise
        raise TunesmithError(
            f"{place} cannot be written: {shortage(error, place.parent, needed)}; nothing of it is left.\n"
            f"  {remedy(error, 'write it elsewhere: --output FOLDER')}"
        ) from error


def _write(handle: ModelHandle, folder: Path, wanted: Wanted, numbers: Numbers) -> None:
    base = handle.source.path
    few_bits = read_json(base / "config.json").get("quantization_config")
    if not wanted.verify:
        skipped("merged")
    model = handle.load()
    if not few_bits and held_narrower(model, numbers):
        model = model.float()
    proof = Proof(model, handle, numbers, wanted.tolerance, folder.parent) if wanted.verify else None
    if few_bits:
        del model  # its memory is for the one in full
        model = _in_full(handle, str(few_bits.get("quant_method")))
        size = sum(weight.numel() for weight in model.parameters()) * numbers.of("").itemsize
        refuse_little(folder.parents[1], size, "this model in full takes")
        if proof:
            proof.dequantised(model)
    if handle.adapter:
        model = handle.merge(model)
        if proof:
            proof.merged(model)
    round_weights(model, base, numbers)
    refuse_non_finite(model)
    if proof:
        proof.rounded(model)
    folder.mkdir()
    given = (handle.processor, handle.template, base, folder)
    result = save_whole(model, *given, numbers=numbers, max_shard_size=wanted.max_shard_size)
    keep_heads(handle.adapter or base, folder)
    if proof:
        proof.tensors(folder, model, result)
        del model  # its memory is for the written one
        proof.written(folder)
    write_card(handle, folder)


def _in_full(handle: ModelHandle, method: str) -> Any:
    """The model, its adapter beside it, with what the few bits that its base is stored in stand for, in float32.

    Raises: TunesmithError when there are layers of which nobody tells that.
    """
    with in_full():
        model = handle.load()
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not dequantised(plain):
        raise TunesmithError(
            f"{handle.source.address} is stored in few bits ({method}), and no selected quantizer tells the numbers "
            "that they stand for: merged weights would be rounded to them again.\n"
            f"  quantizer=NAME of a plugin that reads {method}, the model's 16-bit version "
            "(quantizer=null model.path=MODEL), or exporter=adapter"
        )
    announce("base", f"{len(dequantised(plain))} layers of few bits ({method}) in full", "computed in float32")
    return model.float()


def _linked(source: str, target: str) -> str:
    """A file under a second name where the disk has those, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
