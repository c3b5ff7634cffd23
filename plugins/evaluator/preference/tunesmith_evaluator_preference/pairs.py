"""From rows with `prompt`, `chosen` and `rejected` to tokens; the answers are what is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from tunesmith import DataError, announce
from tunesmith.types import ModelHandle, Row
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_training.answers import answered
from tunesmith_library_training.encoding import Encoded, Spans
from tunesmith_library_training.media import carrying

_COLUMNS = ("prompt", "chosen", "rejected")


@dataclass(frozen=True)
class Pair:
    """A row's two conversations in tokens."""

    index: int  # of the row in its data set
    chosen: Encoded
    rejected: Encoded


class Value(NamedTuple):
    """What a model makes of an answer."""

    total: float  # Σ log p(token | before) over the answer's tokens, in nats; or the score
    tokens: int  # of the answer


def encoded(sets: Mapping[str, Sequence[Row]], handle: ModelHandle, most: int | None) -> dict[str, list[Pair]]:
    """The pairs of data sets; those that cannot be measured are left out, and said.

    Args:
        most: tokens of a prompt with its answer.

    Raises: DataError for a row that is no pair, and when nothing is left to measure.
    """
    found = {name: _pairs(name, rows, handle, most) for name, rows in sets.items() if len(rows)}
    if not any(found.values()):
        why = "no evaluation set has a pair of answers" if not found else "no pair of answers is left to measure"
        raise DataError(f"preference: {why}.\n  write data.eval=[pairs.json], with rows of {', '.join(_COLUMNS)}")
    return {name: pairs for name, pairs in found.items() if pairs}


def _pairs(name: str, rows: Sequence[Row], handle: ModelHandle, most: int | None) -> list[Pair]:
    for index, row in enumerate(rows):
        if missing := [column for column in _COLUMNS if not row.get(column)]:
            raise DataError(
                f"preference: row {index} of data set {name} has no `{missing[0]}`, but {', '.join(sorted(row))}.\n"
                f"  pairs have {', '.join(_COLUMNS)}; name sets of such rows: data.eval=[pairs.json]"
            )
    carried = [carrying(row, handle.processor) for row in rows]
    template, spans = cast(ChatTemplate, handle.template), Spans(by_message=True)
    chosen, rejected = (
        answered(carried, handle.processor, template, [row[side] for row in carried], spans, None)
        for side in _COLUMNS[1:]
    )
    pairs = [Pair(index, *both) for index, both in enumerate(zip(chosen, rejected, strict=True))]
    whole = [pair for pair in pairs if pair.chosen.trained and pair.rejected.trained]
    kept = [pair for pair in whole if most is None or max(pair.chosen.length, pair.rejected.length) <= most]
    _say_left_out(name, len(pairs) - len(whole), "have an empty answer")
    _say_left_out(name, len(whole) - len(kept), f"are over {most} tokens (evaluator.preference.max_length)")
    return kept


def _say_left_out(name: str, count: int, why: str) -> None:
    if count:
        announce(f"data set {name}", f"{count:,} pairs left out", f"they {why}")


def items_of(sequence: Mapping[str, Any]) -> dict[str, Any]:
    """What a sequence shows, by column."""
    return {column: sequence[column] for column in ("images", "videos", "audios") if column in sequence}
