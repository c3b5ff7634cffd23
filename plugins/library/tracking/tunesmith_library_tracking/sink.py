"""What a program that keeps runs implements, and what it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

Status = Literal["finished", "interrupted", "failed"]


@dataclass(frozen=True)
class Start:
    """A run that begins, or goes on."""

    output_dir: Path
    name: str
    config: Mapping[str, Any]  # nested as it was written; secrets are hidden
    resumed_from: int = 0  # the step it goes on after; 0 for a new run
    known_as: str | None = None  # how the program calls the run that goes on; None for a new one


@dataclass(frozen=True)
class Table:
    """What an evaluator measured at a step."""

    name: str  # of the evaluator
    step: int
    numbers: Sequence[Mapping[str, Any]]  # each with dataset, metric, value, standard_error, count
    examples: Sequence[Mapping[str, Any]]  # the first ones, flat; what is neither number nor text is JSON
    left_out: int = 0  # examples after these


class Sink(Protocol):
    """Where a run is kept. All of it is called on one thread, which is not the training's, and may raise.

    When `begin` raises, nothing else is called; what else raises is warned of once, and the rest is called further on.
    """

    def begin(self, start: Start) -> str | None:
        """Open the run.

        Returns: how the program calls it, which `Start.known_as` says when it goes on; None where nothing is needed.
        """

    def log(self, step: int, numbers: Mapping[str, float], time: float) -> None:
        """Keep numbers, by full name: `train/loss`, `eval/loss`, `system/cpu_percent`; any may be NaN.

        Args:
            step: of the optimizer; it never falls, except after a resumption.
            time: in seconds since 1970.
        """

    def table(self, table: Table) -> None:
        """Keep what an evaluator measured."""

    def result(self, folder: Path) -> None:
        """Link the folder of the finished model; or take its files, where the user asked for it."""

    def end(self, status: Status, numbers: Mapping[str, float]) -> None:
        """Close the run, with numbers of the whole of it. Called also when the run failed."""
