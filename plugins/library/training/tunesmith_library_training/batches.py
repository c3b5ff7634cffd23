"""Batches of sequences: concatenated without padding, or padded. For every stage that trains on tokens.

A sequence is a mapping of equally long columns: `input_ids`, `labels` (of the token itself; -100 is not trained), and
optionally `weights` of the labels, and `datasets`, the number of the data set in `dataset_names`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from tunesmith.types import IGNORED, Batch
from tunesmith_library_media.along import prefixes
from tunesmith_library_media.expanding import COLUMNS as COLUMNS

from tunesmith_library_training.media import items_of

_FILL = {
    "input_ids": 0,
    "labels": IGNORED,
    "weights": 0.0,
    "length_weights": 0.0,
    "datasets": 0,
}  # id 0 exists in every vocabulary
_DTYPES = {
    **dict.fromkeys(("input_ids", "labels", "datasets"), np.int64),
    **dict.fromkeys(("weights", "length_weights"), np.float32),
}

Arrays = dict[str, np.ndarray]


def collate(examples: Sequence[Mapping[str, Any]], padding_free: bool, processor: Any = None) -> Batch:
    """Make a batch of encoded examples, whose packed rows come apart again.

    Args:
        processor: of the model, which makes tensors of what the examples show.

    Returns: `concatenate`'s or `pad`'s batch, with `dataset_names` where the examples say of which data set they are.
    """
    names, numbers = dataset_numbers(examples)
    sequences, items = [], []
    for index, example in enumerate(examples):
        for sequence in unpack(example):
            if names:
                sequence["datasets"] = np.full(len(sequence["input_ids"]), numbers[index])
            sequences.append(sequence)
        items += items_of(example)
    batch = concatenate(sequences) if padding_free else pad(sequences)
    batch.update(shown(batch, items, processor))
    return {**batch, "dataset_names": names} if names else batch


def shown(batch: Batch, items: Sequence[Mapping[str, Sequence[Any]]], processor: Any) -> Batch:
    """What a model takes for the items of a batch, see `tensors.tensors_of`; hardly anything where it shows none.

    Args:
        items: of each sequence, by column.
    """
    if not any(len(every) for of_sequence in items for every in of_sequence.values()):
        return prefixes(processor, batch)
    from tunesmith_library_media.tensors import tensors_of

    return tensors_of(processor, items, batch)


def dataset_numbers(examples: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[int]]:
    """The names of the data sets that a batch's examples are of, and the number of each example's; none without."""
    if "dataset" not in examples[0]:
        return [], []
    of_example = [str(example["dataset"]) for example in examples]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(of_example))}
    return list(numbers), [numbers[name] for name in of_example]


def unpack(example: Mapping[str, Any]) -> list[Arrays]:
    """The sequences of an encoded example as arrays; one, unless it has `sequence_lengths`."""
    columns = {name: np.asarray(example[name], dtype) for name, dtype in _DTYPES.items() if name in example}
    lengths = example.get("sequence_lengths")
    if lengths is None:
        sequences = [columns]
    else:
        bounds = pairwise(np.cumsum([0, *lengths]).tolist())
        sequences = [{name: values[start:end] for name, values in columns.items()} for start, end in bounds]
    for sequence in sequences:
        sequence["labels"] = sequence["labels"].copy()
        sequence["labels"][:1] = IGNORED  # nothing predicts a sequence's first token
    return sequences


def concatenate(sequences: Sequence[Arrays]) -> Batch:
    """One row of all sequences.

    Returns: `input_ids`, `labels`, `position_ids` (restarting), `weights` and `datasets` if any: (1, T);
        `cu_seq_lens_q`, `cu_seq_lens_k`: int32, number of sequences + 1; `max_length_q`, `max_length_k`: int;
        `num_items` as in `pad`.
    """
    lengths = [len(sequence["input_ids"]) for sequence in sequences]
    columns = {name: np.concatenate([sequence[name] for sequence in sequences])[None] for name in sequences[0]}
    bounds = np.cumsum([0, *lengths])
    positions = np.arange(bounds[-1]) - np.repeat(bounds[:-1], lengths)
    cu_seq_lens = torch.from_numpy(bounds.astype(np.int32))
    return {
        **_finish(columns),
        "position_ids": torch.from_numpy(positions)[None],
        "cu_seq_lens_q": cu_seq_lens,
        "cu_seq_lens_k": cu_seq_lens,
        "max_length_q": max(lengths),
        "max_length_k": max(lengths),
    }


def pad(sequences: Sequence[Arrays]) -> Batch:
    """One row per sequence, padded on the right.

    Returns: `input_ids`, `labels`, `attention_mask` (int64), `weights` and `datasets` if any: (B, T);
        `num_items`: float, the number of trained tokens, or the sum of their weights.
    """
    lengths = np.array([len(sequence["input_ids"]) for sequence in sequences])
    filled = np.arange(lengths.max()) < lengths[:, None]
    columns = {}
    for name in sequences[0]:
        columns[name] = np.full(filled.shape, _FILL[name], _DTYPES[name])
        columns[name][filled] = np.concatenate([sequence[name] for sequence in sequences])
    return {**_finish(columns), "attention_mask": torch.from_numpy(filled.astype(np.int64))}


def by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Places of sequences, the longest first, as many at a time as fit when they are padded.

    Args:
        batch_tokens: of a batch, padding included; a longer sequence is alone.
    """
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    start = 0
    while start < len(order):
        count = max(1, batch_tokens // lengths[order[start]])
        yield order[start : start + count]
        start += count


def _finish(columns: Arrays) -> Batch:
    """Tensors of the columns (B, T), and how much is trained."""
    trained, weights = columns["labels"] != IGNORED, columns.get("weights")
    num_items = trained.sum() if weights is None else weights[trained].sum(dtype=np.float64)
    return {**{name: torch.from_numpy(values) for name, values in columns.items()}, "num_items": float(num_items)}
