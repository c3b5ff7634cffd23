"""Batches of sequences: padded to (B, T), or concatenated to (1, T) without padding."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from tunesmith.types import Batch

Examples = Sequence[Mapping[str, Any]]


def _columns(examples: Examples) -> tuple[list[torch.Tensor], list[torch.Tensor], float]:
    """Token ids, labels (-100 at the first token, which nothing predicts), and how many tokens are trained."""
    ids = [torch.tensor(example["input_ids"]) for example in examples]
    labels = [torch.tensor([-100, *example["labels"][1:]]) for example in examples]
    return ids, labels, float(sum(int((row != -100).sum()) for row in labels))


def pad(examples: Examples) -> Batch:
    """One sequence a row; an `attention_mask` says what is padding."""
    ids, labels, num_items = _columns(examples)
    return {
        "input_ids": pad_sequence(ids, batch_first=True),
        "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
        "labels": pad_sequence(labels, batch_first=True, padding_value=-100),
        "num_items": num_items,
    }


def concatenate(examples: Examples) -> Batch:
    """All sequences in one row; `position_ids` restart, and `cu_seq_lens_*` say where."""
    ids, labels, num_items = _columns(examples)
    lengths = [len(row) for row in ids]
    bounds = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    return {
        "input_ids": torch.cat(ids)[None],
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        "labels": torch.cat(labels)[None],
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": max(lengths),
        "max_length_k": max(lengths),
        "num_items": num_items,
    }
