"""Whether rows are what a stage trains on, and which stages they would suit otherwise. Free of torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tunesmith import DataError
from tunesmith.messages import logger
from tunesmith.types import Message, Problem, Row
from tunesmith_library_formats import count
from tunesmith_library_formats.suiting import Advise as Advise
from tunesmith_library_formats.suiting import lacking, suited_stages

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_MEDIA = ("images", "videos", "audios")
_ANSWERS = {"messages", "completion", "chosen", "rejected", "text", "label"}
_UNANSWERED = "have no answer and are left out"
_SILENT = "have an empty answer and are left out"
_ALIKE = "have the same chosen and rejected answer, which tells nothing"
_NOT_REJECTED = "have an empty rejected answer"
_UNASKED = "have an empty question"

MESSAGES = (_UNANSWERED, _SILENT, _ALIKE, _NOT_REJECTED, _UNASKED)
"""What is the matter with rows, for catalogues of other languages."""


def variables_of(row: Row) -> dict[str, Any]:
    """What a row says of its own rendering: whether the model is to think in it."""
    return {"enable_thinking": row["enable_thinking"]} if row.get("enable_thinking") is not None else {}


def other_stages(plan: Plan) -> Advise:
    """Advice from what the installed stages say that they read; they are imported when it is asked for."""
    return partial(suited_stages, plan)


def packed_in_vain(plan: Plan) -> list[Problem]:
    """The warning of a stage that packs rows, where the trainer pads each of their sequences again."""
    if plan.get("trainer.padding_free", True):
        return []
    message = "rows are taken apart and padded again: packing saves nothing without trainer.padding_free"
    return [Problem("stage.packing", message, "stage.packing=false", severity="warning")]


def require(row: Row, columns: Sequence[str], stage: str, advise: Advise | None = None) -> None:
    """Refuse a row that lacks a column.

    Args:
        columns: that the stage trains on.
        stage: its name, for the message.
        advise: says which stages the row would suit; None where the stage was not configured by a plan.

    Raises: DataError, of a row without a column Lacking.
    """
    fault = lacking(row, columns, stage, advise)
    if fault:
        raise fault


def text_only(row: Row, stage: str) -> None:
    """Refuse a row that has more than text. Raises: DataError."""
    media = [name for name in _MEDIA if row.get(name)]
    if media:
        raise DataError(f"stage.{stage} trains on text; this row has {', '.join(media)}")


def usable(
    rows: Sequence[Row],
    columns: Sequence[str],
    stage: str,
    said: set[str],
    advise: Advise | None = None,
    *,
    last_only: bool = False,
) -> list[Row]:
    """The rows that a stage can learn from answers of. Others are counted, and so are those that teach little.

    Left out are rows that have only a `prompt`, and rows with an empty answer, of which a model learns to say nothing.

    Args:
        columns, stage, advise: see `require`.
        said: see `warn_once`.
        last_only: of a conversation only the last answer is trained.

    Raises: DataError for rows of another shape.
    """
    kept, found = [], Counter[str]()
    for row in rows:
        if _asks_only(row):
            found[_UNANSWERED] += 1
            continue
        require(row, columns, stage, advise)
        faults = list(_faults(row, last_only))
        found.update(faults)
        if _SILENT not in faults:
            kept.append(row)
    for what, number in found.items():
        unanswered = what == _UNANSWERED
        advice = advise({"prompt": []}) if unanswered and advise else ""
        warn_once(said, stage, number, rows, what, lost=unanswered or what == _SILENT, advice=advice)
    return kept


def _asks_only(row: Row) -> bool:
    return "prompt" in row and not row.keys() & _ANSWERS


def _faults(row: Row, last_only: bool) -> Iterator[str]:
    """What is the matter with the answers of a row."""
    chosen, rejected = row.get("chosen"), row.get("rejected")
    answers = chosen or row.get("completion") or row.get("messages") or []
    said = [message for message in answers if message["role"] == "assistant" and message.get("weight") != 0]
    if any(map(_is_empty, said[-1:] if last_only else said)) or not answers:
        yield _SILENT
    if rejected is not None and chosen == rejected:
        yield _ALIKE
    elif rejected is not None and all(map(_is_empty, rejected)):
        yield _NOT_REJECTED
    asked = row.get("prompt") or row.get("messages") or []
    if any(message["role"] == "user" and _is_empty(message) for message in asked):
        yield _UNASKED


def _is_empty(message: Message) -> bool:
    content = message.get("content")
    said = content.strip() if isinstance(content, str) else content
    return not (said or message.get("tool_calls") or message.get("reasoning"))


def warn_once(
    said: set[str],
    stage: str,
    number: int,
    rows: Sequence[Row],
    what: str,
    *,
    lost: bool = False,
    first: str = "",
    advice: str = "",
) -> None:
    """Count rows that are not used as they are; where nobody collects the counts, warn the first time it happens.

    Args:
        said: what was said before; it is added to.
        stage: its name.
        number: how many of the rows.
        rows: that are encoded at a time.
        what: is the matter with them: `have no token to learn and are left out`.
        lost: whether they give no example.
        first: where the first of them is from.
        advice: what to do where no example is left.
    """
    if number and not count(what, number, lost=lost, first=first, advice=advice) and what not in said:
        said.add(what)
        logger.warning("stage.%s: %d of the first %d rows %s", stage, number, len(rows), what)
