"""Whether rows have the columns that a stage reads, and which stages they would suit otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tunesmith.traits import traits_of
from tunesmith.types import Row

from tunesmith_library_formats.records import Lacking

if TYPE_CHECKING:
    from tunesmith.planning import Plan

Advise = Callable[[Row], str]
"""What to do about a row that a stage does not train on."""

_LABEL = "the label of a record must be true or false; null, and 0 or 1 where columns do not name it, are none"
_AS_TEXT = "format: text with columns: {text: COLUMN} in the data set's entry learns one column as it stands"
_AS_ANSWERS = (
    "or format: alpaca with columns: {instruction: COLUMN, output: COLUMN} in the data set's entry, "
    "where one column is asked and another one answers"
)
_NONE_SUITS = "choose another format"


def suited_stages(plan: Plan, row: Row) -> str:
    """Advice from what the installed stages say that they read; they are imported.

    Of the other stages that read columns of a row those are named that read most.
    """
    reads = {name: traits_of("stage", cls).reads for name, cls in plan.installed("stage").items()}
    suited = {name: len(columns) for name, columns in reads.items() if columns and set(columns) <= row.keys()}
    suited.pop(plan.name("stage") or "", None)
    names = sorted(name for name, count in suited.items() if count == max(suited.values()))
    if not names:
        return _NONE_SUITS
    return "stage=" + " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def lacking(row: Row, columns: Sequence[str], stage: str, advise: Advise | None = None) -> Lacking | None:
    """The error of a row that lacks a column; None of one that has all.

    Args:
        columns: that the stage trains on.
        stage: its name, for the message.
        advise: says which stages the row would suit; None where the stage was not configured by a plan.
    """
    missing = [column for column in columns if column not in row]
    if not missing:
        return None
    found, advice = ", ".join(sorted(row)), advise(row) if advise else _NONE_SUITS
    if missing[0] == "text":
        advice += f"; {_AS_TEXT}"
    if missing[0] == "messages" and "text" in row:
        advice += f"\n  {_AS_ANSWERS}"
    if "label" not in missing:
        return Lacking(f"stage.{stage} needs rows with `{missing[0]}`; these have {found}.", advice, (), "\n  ")
    # a record may have one that says nothing, and is of other columns then
    said = f"stage.{stage} needs rows with `label`; these have {found}.\n  {_LABEL}"
    return Lacking(said, advice, ("label", "kto_tag"), "\n  ")
