"""Tensors along the tokens of a batch, made for the real tokens: a processor makes them for the text it is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import torch
from tunesmith.types import IGNORED

TYPES = ("token_type_ids", "mm_token_type_ids")
CROSSING = "cross_attention_mask"


def along_tokens(processor: Any, made: Mapping[str, Any], batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """What tells a model which of a batch's tokens are of which kind, and which see which image.

    Args:
        made: what the processor made of placeholders alone.
        batch: with `input_ids` and, where they are trained, `labels` (B, T); `cu_seq_lens_q` of sequences in one row.

    Returns: of those that the processor made too: types of tokens, int64 (B, T), and `cross_attention_mask`, int64
        (B, T, images, tiles).
    """
    found = {name: _types(processor, batch["input_ids"]) for name in TYPES if name in made}
    if CROSSING in made:
        found[CROSSING] = _crossing(processor, made, batch)
    return {**found, **prefixes(processor, batch)}


def prefixes(processor: Any, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """For models that read a prompt in both directions (PaliGemma), text alone too: which tokens are of prompts.

    Everything in a prompt sees everything in it, so that what is learned, of which the model would know, is no part.

    Returns: `token_type_ids`, int64 (B, T), 0 before the first trained token of a sequence and 1 from it on; empty for
        other models.
    """
    if not {"token_type_ids", "labels"} <= {*getattr(processor, "model_input_names", ())}:
        return {}
    types, labels = torch.zeros_like(batch["input_ids"]), batch.get("labels")
    for row, tokens in _sequences(batch):
        if labels is not None:
            types[row, tokens] = ((labels[row, tokens] != IGNORED).cumsum(0) > 0).long()
    return {"token_type_ids": types}


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
