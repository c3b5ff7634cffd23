"""From encoded examples to sequences, and from the losses of sequences to numbers with standard errors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith import DataError
from tunesmith.types import IGNORED
from tunesmith_library_evaluating import Measured
from tunesmith_library_training import media
from tunesmith_library_training.batches import Arrays, unpack

Items = Mapping[str, Sequence[Any]]
"""What a sequence shows, by column: images, videos, audios."""


@dataclass(frozen=True)
class Loss:
    """The loss of one sequence."""

    total: float  # Σ -log p(token | before) over the predicted tokens, in nats
    tokens: int  # how many are predicted, at least one


def sequences_of(name: str, examples: Sequence[Mapping[str, Any]]) -> dict[int, Arrays]:
    """The sequences of a data set with at least one token to predict, by their place; packed ones come apart.

    Raises: DataError for examples without labels, such as those of preferences or of prompts.
    """
    sequences: list[Arrays] = []
    for index in range(len(examples)):
        example = examples[index]
        if not {"input_ids", "labels"} <= set(example):
            raise DataError(
                f"perplexity: data set {name} has no tokens with labels, but {', '.join(sorted(example))}.\n"
                "  encode it as text or conversations: stage=sft, or stage=pretrain"
            )
        sequences += unpack(example)
    return {place: item for place, item in enumerate(sequences) if (item["labels"] != IGNORED).any()}


def items_of(examples: Sequence[Mapping[str, Any]]) -> list[Items]:
    """What each sequence of a data set shows, by column, in the places of the sequences."""
    return [items for index in range(len(examples)) for items in media.items_of(examples[index])]


def measured(losses: Sequence[Loss]) -> dict[str, Measured]:
    """Mean loss per token and perplexity; a standard error takes two sequences."""
    count, tokens = len(losses), sum(loss.tokens for loss in losses)
    mean = math.fsum(loss.total for loss in losses) / tokens
    error = None
    if count > 1:
        squares = math.fsum((loss.total - mean * loss.tokens) ** 2 for loss in losses)
        error = math.sqrt(count / (count - 1) * squares) / tokens
    perplexity = math.exp(mean) if mean < 700 else math.inf
    of_perplexity = None if error is None else perplexity * error
    return {
        "perplexity": Measured(perplexity, of_perplexity, count, greater_is_better=False),
        "loss": Measured(mean, error, count, greater_is_better=False),
    }
