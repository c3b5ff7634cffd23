"""The numbers of a written model: what its tensors are rounded to, and whether they can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith import TunesmithError, announce
from tunesmith_library_publishing.inventory import Numbers, numbers_of
from tunesmith_library_publishing.weights import round_like
from tunesmith_library_weights.finite import non_finite

_HEADER_NAMES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}


def chosen_numbers(folder: Path, dtype: str, reason: str) -> Numbers:
    """What each tensor is rounded to, announced: one dtype for all of them, or what the base has.

    Args:
        folder: of the base, or of a run that trained a whole model, which remembers what its base had.
        dtype: torch's name of one, or `auto`.
        reason: who chose that one.
    """
    if dtype != "auto":
        announce("dtype", dtype, reason)
        return Numbers(dtype, {})
    numbers = numbers_of(folder)
    others = sorted({found for found in numbers.tensors.values() if found != _HEADER_NAMES.get(numbers.common)})
    count = sum(found in others for found in numbers.tensors.values())
    announce("dtype", numbers.common, f"the base's; {count} tensors in {', '.join(others)}" if others else "the base's")
    return numbers


BITS = {"float32": 24, "float16": 11, "bfloat16": 8}
"""How many digits of a number count."""


def held_narrower(model: Any, numbers: Numbers) -> bool:
    """Whether a model's numbers have fewer digits than those that it is to be written in, or another range."""
    held = {str(weight.dtype).removeprefix("torch.") for weight in model.parameters() if weight.is_floating_point()}
    return not held <= {numbers.common, "float32"}


def round_weights(model: Any, base: Path, numbers: Numbers) -> None:
    """Round the weights as they will be written, in place; their dtype and the buffers stay.

    Raises: TunesmithError when a weight is too large for float16.
    """
    overflown = round_like(model, base, numbers)
    if overflown:
        raise TunesmithError(f"{overflown[0]} holds values beyond float16's 65504.\n  exporter.dtype=bfloat16")


def refuse_non_finite(model: Any) -> None:
    """Raises: TunesmithError when a weight holds NaN or infinity, also where no conversation would meet it."""
    names = non_finite(model.named_parameters())
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise TunesmithError(
            f"{len(names)} tensors of the model hold NaN or infinity: {', '.join(names[:3])}{more}.\n"
            "  nothing was written; train again from a checkpoint before, or look at the base"
        )
