"""Whether rows are what a stage trains on, and which stages they would suit otherwise. Free of torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from tunesmith import DataError
from tunesmith.messages import logger
from tunesmith.traits import traits_of
from tunesmith.types import Problem, Row

if TYPE_CHECKING:
    from tunesmith.planning import Plan

Advise = Callable[[Row], str]
"""What to do about a row that a stage does not train on."""

_MEDIA = ("images", "videos", "audios")
_NONE_SUITS = "choose another format"


def other_stages(plan: Plan) -> Advise:
    """Advice from what the installed stages say that they read; they are imported when it is asked for."""
    return partial(_suited, plan)


def _suited(plan: Plan, row: Row) -> str:
    """The other stages that read a row's columns, of those that read some the ones that read most."""
    reads = {name: traits_of("stage", cls).reads for name, cls in plan.installed("stage").items()}
    suited = {name: len(columns) for name, columns in reads.items() if columns and set(columns) <= row.keys()}
    suited.pop(plan.name("stage") or "", None)
    names = sorted(name for name, count in suited.items() if count == max(suited.values()))
    if not names:
        return _NONE_SUITS
    return "stage=" + " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def packed_in_vain(plan: Plan) -> list[Problem]:
    """The warning of a stage that packs rows, where the trainer pads each of their sequences again."""
    if plan.get("trainer.padding_free", True):
        return []
    message = "rows are taken apart and padded again: packing saves nothing without trainer.padding_free"
    return [Problem("stage.packing", message, "stage.packing=false", severity="warning")]


def require(row: Row, columns: Sequence[str], stage: str, advise: Advise | None = None) -> None:
    """Refuse a row that lacks a column, or has more than text.

    Args:
        columns: that the stage trains on.
        stage: its name, for the message.
        advise: says which stages the row would suit; None where the stage was not configured by a plan.

    Raises: DataError.
    """
    missing = next((column for column in columns if column not in row), None)
    if missing is not None:
        found, advice = ", ".join(sorted(row)), advise(row) if advise else _NONE_SUITS
        raise DataError(f"stage.{stage} needs rows with `{missing}`; these have {found}.\n  {advice}")
    media = [name for name in _MEDIA if row.get(name)]
    if media:
        raise DataError(f"stage.{stage} trains on text; this row has {', '.join(media)}")


def warn_once(said: set[str], stage: str, count: int, rows: Sequence[Row], what: str) -> None:
    """Warn of rows that are not used as they are, the first time that it happens.

    Args:
        said: what was said before; it is added to.
        stage: its name.
        count: how many of the rows.
        rows: that are encoded at a time.
        what: is the matter with them: `have no token to learn and are left out`.
    """
    if count and what not in said:
        said.add(what)
        logger.warning("stage.%s: %d of the first %d rows %s", stage, count, len(rows), what)
