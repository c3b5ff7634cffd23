"""Videos of different lengths in one batch, for processors that can only put those of one length into a tensor.

Their models look at each frame by itself, so that it does not matter which dimension of a tensor frames stand in. Each
item is made by itself, and what was made is put together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from tunesmith_library_media.shapes import call


def is_uneven(media: Mapping[str, Sequence[Sequence[Any]]]) -> bool:
    """Whether there are videos of different lengths, or of different sizes, among the items of a batch's rows."""
    return len({tuple(clip.frames.shape) for clips in media.get("videos", ()) for clip in clips}) > 1


def one_by_one(
    processor: Any, tokens: Mapping[str, str], media: Mapping[str, Sequence[Sequence[Any]]]
) -> dict[str, torch.Tensor]:
    """What a processor makes of each item alone, together, in the order of the rows.

    Args:
        tokens: what stands for an item of each column.
        media: for each column the items of each row, decoded.

    Returns: tensors by the names of the model's arguments, without those of the text.
    Raises: DataError for items that the processor refuses.
    """
    made: dict[str, list[torch.Tensor]] = {}
    for row in range(max(map(len, media.values()))):
        for column, rows in media.items():
            for item in rows[row]:
                alone = call(processor, [tokens[column]], {column: [[item]]}, return_tensors="pt")
                frames = len(item.frames) if column == "videos" else 0
                for name, value in alone.items():
                    if isinstance(value, torch.Tensor):
                        made.setdefault(name, []).append(_by_frames(value, frames))
    return {name: _joined(values) for name, values in made.items()}


def _by_frames(value: torch.Tensor, frames: int) -> torch.Tensor:
    """A video (1, frames, …) as (frames, 1, …); anything else as it is."""
    return value.transpose(0, 1) if frames and value.ndim > 3 and value.shape[:2] == (1, frames) else value


def _joined(values: Sequence[torch.Tensor]) -> torch.Tensor:
    """Items one after the other, filled up with zeros to the largest, as processors fill them up."""
    shape = [max(sizes) for sizes in zip(*(value.shape[1:] for value in values), strict=True)]
    filled = []
    for value in values:
        whole = value.new_zeros(len(value), *shape)
        whole[tuple(slice(size) for size in value.shape)] = value
        filled.append(whole)
    return torch.cat(filled)
