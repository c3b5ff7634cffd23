"""Attention from text to images beside it (Llama 3.2 Vision), in batches of several sequences.

transformers lets a token that sees no image attend to all images of its row alike. Of an example alone these are its
own; in a batch they would be those of other sequences, or padding. Here each sequence has its own images, and one
without images has nothing to attend to, as if the layer were not there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

NAME = "images_of_sequences"
"""The keyword by which a base model's layers are told of `ImagesOfSequences`."""


NAME_OF_MASK = "cross_attention_mask"
"""The argument of models whose text attends to images beside it: (B, T, images, tiles), not 0 where a token sees."""


@dataclass(frozen=True)
class ImagesOfSequences:
    """Whose the images of a batch are."""

    counts: tuple[int, ...]  # images of each sequence, which come in the sequences' order
    places: int  # images of a row, those that only fill it up included


def watch(model: torch.nn.Module) -> None:
    """Let the layers of `model`, transformers' base model, know whose the images of a batch are."""
    if NAME_OF_MASK in inspect.signature(type(model).forward).parameters:
        model.register_forward_pre_hook(_enter, with_kwargs=True)


def _enter(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    seen = kwargs.get(NAME_OF_MASK)
    goes_on = any(kwargs.get(name) is not None for name in ("past_key_values", "cache"))  # the latter from 5.24 on
    if seen is None or goes_on:
        return None
    return args, {**kwargs, NAME: _counted(seen, kwargs.get("cu_seq_lens_q"))}


def _counted(seen: torch.Tensor, bounds: torch.Tensor | None) -> ImagesOfSequences:
    """Args: seen: (B, T, images, tiles), not 0 where a token sees a tile; bounds: of the sequences in the one row."""
    seen = seen.ne(0).any(-1)
    rows = seen[0].split(bounds.diff().tolist()) if bounds is not None else seen.unbind(0)
    return ImagesOfSequences(tuple(int(row.any(0).sum()) for row in rows), seen.shape[-1])


def crosses(layer: torch.nn.Module) -> bool:
    """Whether a layer attends to something beside the text."""
    return "cross_attention_states" in inspect.signature(type(layer).forward).parameters


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    images: ImagesOfSequences,
    lengths: Sequence[int] | None,
    attention: Callable[..., torch.Tensor],
    options: Mapping[str, Any],
) -> torch.Tensor:
    """Attention of each sequence to its own images.

    Args:
        query: (B, heads, T, D); key, value: (B, key heads, images · S, D).
        mask: (B, 1, T, images · S), added to the scores.
        lengths: of the sequences, where they stand in one row; None where each has a row.
        attention: of one sequence: query, key, value, mask and `options` to (1, heads, T, D).

    Returns: (B, T, heads, D), zero for sequences without images.
    """
    parts = _in_one_row(query, mask, lengths) if lengths is not None else _by_row(query, mask)
    unit, first, outputs = key.shape[2] // images.places, 0, []
    for (row, queries, masks), count in zip(parts, images.counts, strict=True):
        begin = first if lengths is not None else 0
        own = slice(begin * unit, (begin + count) * unit)
        first += count
        if not count:
            outputs.append(torch.zeros_like(queries).transpose(1, 2))
            continue
        keys, values = (each[row : row + 1, :, own] for each in (key, value))
        outputs.append(attention(queries, keys, values, masks[..., own], **options).transpose(1, 2))
    return torch.cat(outputs, dim=1 if lengths is not None else 0)


def _in_one_row(
    query: torch.Tensor, mask: torch.Tensor, lengths: Sequence[int]
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    for queries, masks in zip(query.split(list(lengths), 2), mask.split(list(lengths), 2), strict=True):
        yield 0, queries, masks


def _by_row(query: torch.Tensor, mask: torch.Tensor) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    for row in range(len(query)):
        yield row, query[row : row + 1], mask[row : row + 1]
