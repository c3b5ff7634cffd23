"""Images and clips in one batch of models that have one token for both (GLM-4.1V, GLM-4.5V).

Such a model looks for the tokens of all its images and finds those of the clips' frames among them. Since it reads a
frame as it reads an image, it is given all of them as images, in the order of the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import torch

from tunesmith_library_media.positions import of_rows

_CLIP = 2  # the type of a clip's tokens in `mm_token_type_ids`; an image's is 1


def watch(model: torch.nn.Module) -> None:
    """Let `model`, transformers' base model, be trained on images and clips in one batch."""
    if hasattr(model, "get_rope_index") and hasattr(model, "get_placeholder_mask"):
        model.register_forward_pre_hook(_as_images, with_kwargs=True)


def _as_images(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    images, clips = kwargs.get("pixel_values"), kwargs.get("pixel_values_videos")
    ids, types = kwargs.get("input_ids"), kwargs.get("mm_token_type_ids")
    if images is None or clips is None or ids is None or types is None or kwargs.get("use_cache"):
        return None
    of_images, of_clips = module.get_placeholder_mask(ids, inputs_embeds=ids)[:2]
    if not torch.equal(of_images, of_clips):
        return None
    if kwargs.get("position_ids") is None:  # they know clips from images
        kwargs = {**kwargs, "position_ids": of_rows(module.get_rope_index, kwargs)}
    grids = kwargs["image_grid_thw"], kwargs["video_grid_thw"]
    pixels, grid = in_order(types, (images, clips), grids)
    given = {"pixel_values": pixels, "image_grid_thw": grid, "pixel_values_videos": None, "video_grid_thw": None}
    return args, {**kwargs, **given}


def in_order(
    types: torch.Tensor, pixels: tuple[torch.Tensor, torch.Tensor], grids: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and the frames of clips in the order of their tokens.

    Args:
        types: of tokens (B, T): 1 of images, 2 of clips, whose frames have other tokens between them.
        pixels: of images and of clips: (patches, values).
        grids: of images and of clips: (items, 3), frames, height and width in patches.

    Returns: pixels (patches, values) and grid (images and frames, 3).
    """
    images, frames = _pieces(pixels[0], grids[0]), _pieces(pixels[1], _frames(grids[1]))
    order = [kind for kind, _ in groupby(types.flatten().tolist()) if kind]
    found = [next(frames if kind == _CLIP else images) for kind in order]
    return torch.cat([piece for piece, _ in found]), torch.stack([grid for _, grid in found])


def _frames(grid: torch.Tensor) -> torch.Tensor:
    """A row (1, height, width) for each frame of each clip."""
    each = grid.repeat_interleave(grid[:, 0], dim=0)
    return torch.cat([torch.ones_like(each[:, :1]), each[:, 1:]], dim=1)


def _pieces(pixels: torch.Tensor, grid: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    return zip(pixels.split(grid.prod(-1).tolist()), grid, strict=True)
