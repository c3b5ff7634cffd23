"""Whether the first rows of a data set are what the stage trains on, told before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.types import Problem, Row
from tunesmith_library_formats.suiting import lacking, suited_stages

from .entries import Source

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_ENCODING = ("train", "encode")  # commands whose rows go through the stage
_ASKED = ("prompt", "messages")  # a stage that generates answers makes a prompt of either


def unsuited(source: Source, rows: Sequence[Row], file: Path, plan: Plan) -> Iterator[Problem]:
    """The problem of a data set none of whose first rows has the columns that the stage reads.

    Where some have them, the run names the first that has not; rows that ask only are counted there.
    """
    traits, stage = plan.traits("stage"), plan.name("stage")
    if plan.command not in _ENCODING or traits is None or stage is None or not traits.reads:
        return
    asked = [row for row in rows if not row.keys() <= {"prompt", "tools"}]
    if not asked or any(_read(row, traits.reads, traits.generates) for row in asked):
        return
    fault = lacking(asked[0], traits.reads, stage, partial(suited_stages, plan))
    if fault:
        said, *more = [line.strip() for line in fault.said.splitlines()]
        advice = "\n".join([*more, *(line.strip() for line in fault.advice.splitlines())])
        yield Problem(source.key, f"{source.key}: {file}: {said}", advice)


def _read(row: Row, columns: Sequence[str], generates: bool) -> bool:
    return set(columns) <= row.keys() or (generates and any(name in row for name in _ASKED))
