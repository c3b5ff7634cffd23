"""Tensors along the tokens of a batch, made for the real tokens: a processor makes them for the text it is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from tunesmith.types import IGNORED

TYPES = ("token_type_ids", "mm_token_type_ids")
CROSSING = "cross_attention_mask"


def along_tokens(
    processor: Any, made: Mapping[str, Any], batch: Mapping[str, Any], shows: Sequence[bool]
) -> dict[str, torch.Tensor]:
    """What tells a model which of a batch's tokens are of which kind, and which see which image.

    Args:
        made: what the processor made of placeholders alone, with `input_ids`.
        batch: with `input_ids` and, where they are trained, `labels` (B, T); `cu_seq_lens_q` of sequences in one row.
        shows: whether each sequence shows something.

    Returns: of those that the processor made too: types of tokens, int64 (B, T), and `cross_attention_mask`, int64
        (B, T, images, tiles).
    """
    found = {}
    for name in TYPES:
        if name in made:
            prefixed = name == "token_type_ids" and not made[name][_types(processor, made["input_ids"]) > 0].any()
            found[name] = _prefixes(batch, shows) if prefixed else _types(processor, batch["input_ids"])
    if CROSSING in made:
        found[CROSSING] = _crossing(processor, made, batch)
    return found


def _types(processor: Any, ids: torch.Tensor) -> torch.Tensor:
    """0 for tokens of text, 1 for those of images, 2 of videos, 3 of sounds."""
    return torch.tensor(processor.create_mm_token_type_ids(ids.tolist()))


def _sequences(batch: Mapping[str, Any]) -> Iterator[tuple[int, slice]]:
    """The row and the tokens of each sequence; padding is of its row's."""
    bounds = batch.get("cu_seq_lens_q")
    if bounds is None:
        yield from ((row, slice(None)) for row in range(len(batch["input_ids"])))
    else:
        yield from ((0, slice(start, end)) for start, end in pairwise(bounds.tolist()))


def _prefixes(batch: Mapping[str, Any], shows: Sequence[bool]) -> torch.Tensor:
    """0 for a prompt, in which all tokens see each other, 1 from the first trained token on (PaliGemma).

    What an answer said would be known before it were it of type 0, too. Text alone is no such prompt.
    """
    types = torch.zeros_like(batch["input_ids"])
    labels = batch.get("labels")
    for (row, tokens), shown in zip(_sequences(batch), shows, strict=True):
        if not shown:
            types[row, tokens] = 1
        elif labels is not None:
            trained = labels[row, tokens] != IGNORED
            types[row, tokens] = (trained.cumsum(0) > 0).long()
    return types


def _crossing(processor: Any, made: Mapping[str, Any], batch: Mapping[str, Any]) -> torch.Tensor:
    """Which tokens see which tiles of which images (Llama 3.2 Vision), by the rule of the family's own processor."""
    from transformers.models.mllama.processing_mllama import (
        convert_sparse_cross_attention_mask_to_dense,
        get_cross_attention_token_mask,
    )

    images, most = made[CROSSING].shape[2:]
    seen = torch.zeros(*batch["input_ids"].shape, images, most, dtype=torch.int64)
    tiles, behind, last = made["aspect_ratio_mask"].sum(-1), 0, 0
    for row, tokens in _sequences(batch):
        behind, last = (behind, row) if row == last else (0, row)
        ids = batch["input_ids"][row, tokens].tolist()
        count = ids.count(processor.image_token_id)
        if not count:
            continue
        own = slice(behind, behind + count)
        spans, numbers = get_cross_attention_token_mask(ids, processor.image_token_id), tiles[row, own].tolist()
        dense = convert_sparse_cross_attention_mask_to_dense([spans], [numbers], most, len(ids))
        seen[row, tokens, own] = torch.from_numpy(dense[0]).long()
        behind += count
    return seen
