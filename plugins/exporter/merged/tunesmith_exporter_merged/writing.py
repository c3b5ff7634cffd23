"""The numbers of an exported model, and whether what was written holds everything that the base holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith import TunesmithError, announce
from tunesmith_library_publishing.inventory import Numbers, numbers_of, read_json, tensors_of
from tunesmith_library_publishing.weights import round_like
from tunesmith_library_publishing.whole import Result


def chosen_numbers(folder: Path, dtype: str) -> Numbers:
    """What each tensor is rounded to, announced: one dtype for all of them, or what the base has.

    Args:
        folder: of the base, or of a run that trained a whole model, which remembers what its base had.
        dtype: torch's name of one, or `auto`.
    """
    if dtype != "auto":
        announce("dtype", dtype, "exporter.dtype")
        return Numbers(dtype, {})
    numbers = numbers_of(folder)
    others = sorted({found for found in numbers.tensors.values() if found != _HEADER_NAMES.get(numbers.common)})
    count = sum(found in others for found in numbers.tensors.values())
    announce("dtype", numbers.common, f"the base's; {count} tensors in {', '.join(others)}" if others else "the base's")
    return numbers


_HEADER_NAMES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}


def round_weights(model: Any, base: Path, numbers: Numbers) -> None:
    """Round the weights as they will be written, in place; their dtype and the buffers stay.

    Raises: TunesmithError when a weight is too large for float16.
    """
    overflown = round_like(model, base, numbers)
    if overflown:
        raise TunesmithError(f"{overflown[0]} holds values beyond float16's 65504.\n  exporter.dtype=bfloat16")


def compare_inventory(base: Path, written: Path, result: Result) -> None:
    """Compare what was written with the base by its files: every tensor, with its shape, the class, further files.

    Raises: TunesmithError when something of the base is missing.
    """
    before, after = tensors_of(base), tensors_of(written)
    missing = [name for name in before if name not in after and name not in result.tensors.replaced]
    if missing:
        raise TunesmithError(
            f"{len(missing)} of the base's {len(before)} tensors are missing in what was written, such as "
            f"{missing[0]}.\n  nothing was written; exporter.verify=false writes it all the same"
        )
    found = read_json(written / "config.json").get("architectures")
    if found != [result.class_name]:
        raise TunesmithError(f"the written config.json names the class {found}, and the model is a {result.class_name}")
    lost = [name for name in result.files.kept if not (written / name).is_file()]
    if lost:
        raise TunesmithError(f"{lost[0]} of the base is missing in what was written")
    resized = [name for name in result.tensors.changed if name in before and before[name].shape != after[name].shape]
    announce("tensors", result.tensors.described(), f"{len(resized)} of another size" if resized else "all there")
    announce("class", result.class_name, f"the base's is {read_json(base / 'config.json').get('architectures')}")
    announce("files", result.files.described(), "beside the weights")
