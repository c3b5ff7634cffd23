"""Training progress: a bar where there is a terminal, one output that changes in a notebook, else a line per logged
step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith import hookimpl, plugin
from tunesmith.messages import is_quiet
from tunesmith.types import Evaluated, Event, RunEnded, RunStarted, Saved, StepEnded

from .notebook import Board, in_notebook

_NUMBER_STYLES = {
    "loss": "{:.4f}",
    "learning_rate": "{:.2e}",
    "grad_norm": "{:.2f}",
    "tokens_per_second": "{:,.0f}",
    "train_seconds": "{:,.1f}",
}
MESSAGES = ("finished after step {step}", "interrupted after step {step}", "failed after step {step}", "left")
_NAMES = {"learning_rate": "lr", "tokens_per_second": "tok/s", "train_seconds": "seconds"}


def described(metrics: Mapping[str, float], only: tuple[str, ...] = ()) -> dict[str, str]:
    """Metrics by their short names, with as many digits as say something."""
    chosen = {name: metrics[name] for name in only if name in metrics} if only else metrics
    texts = {}
    for name, value in chosen.items():
        form = _NUMBER_STYLES.get(name, "{:.4f}" if "loss" in name else "{:.4g}")
        texts[_NAMES.get(name, name)] = form.format(value)
    return texts


def describe(metrics: Mapping[str, float], only: tuple[str, ...] = ()) -> str:
    """Metrics as one line: `loss 1.2345  lr 1.00e-04  tok/s 2,300`."""
    return "  ".join(f"{name} {text}" for name, text in described(metrics, only).items())


def _once(metrics: Mapping[str, float]) -> dict[str, float]:
    """Without `eval_SET_loss` where `eval_loss` says the same: there is one data set, and a line is short."""

    def said(name: str) -> bool:
        words = name.removeprefix("eval_").split("_")
        shorter = ("_".join(("eval", *words[place:])) for place in range(1, len(words)))
        return name.startswith("eval_") and any(metrics.get(other) == metrics[name] for other in shorter)

    return {name: value for name, value in metrics.items() if not said(name)}


@plugin
class Console:
    """Shows the steps, the loss, the learning rate, tokens per second and the time that is left."""

    # metrics beside a step, in this order; those that a run does not have are left out
    metrics: list[str] = ["loss", "learning_rate", "tokens_per_second"]
    bar: bool | None = None  # draw a progress bar; null draws one in a terminal and in a notebook

    _console: Any = None
    _progress: Any = None
    _task: Any = None
    _board: Any = None  # of a notebook
    _step: int = 0

    @hookimpl
    def on_event(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._start(event)
            case StepEnded():
                self._advance(event)
            case Evaluated():
                self._say(f"step {event.step}  {describe(_once(event.metrics))}")
            case Saved():
                self._say(f"step {event.step}  saved {event.path}")
            case RunEnded():
                self._end(event)

    def _start(self, event: RunStarted) -> None:
        self._close()
        self._step = event.resumed_from
        console = self._terminal()
        if in_notebook() and self.bar is not False and not is_quiet():
            self._board = Board(event.total_steps, event.resumed_from)
        if event.resumed_from:
            self._say(f"continues at step {event.resumed_from} of {event.total_steps}")
        if self._board is not None:
            self._board.draw()
        elif console.is_terminal if self.bar is None else self.bar:
            self._progress = _bar(console)
            self._task = self._progress.add_task("", total=event.total_steps, completed=event.resumed_from, metrics="")
            self._progress.start()

    def _advance(self, event: StepEnded) -> None:
        self._step = event.step
        line = describe(event.metrics, tuple(self.metrics))
        if self._board is not None:
            self._board.advance(event.step, event.metrics, described(event.metrics, tuple(self.metrics)))
        elif self._progress is not None:
            shown = {"metrics": line} if line else {}
            self._progress.update(self._task, completed=event.step, **shown)
        elif line:
            self._say(f"step {event.step}/{event.total_steps}  epoch {event.epoch:.2f}  {line}")

    def _end(self, event: RunEnded) -> None:
        self._close()
        metrics = describe(_once(event.metrics))
        after = f"{event.status} after step {self._step}"
        self._say(f"{after}  {metrics}" if metrics else after)

    def _say(self, line: str) -> None:
        """Print a line, above the bar if there is one, as it is: no markup, no colours, not wrapped."""
        if self._board is not None:
            self._board.say(line)
            return
        from tunesmith.cli.languages import translate

        self._terminal().print(translate(line), markup=False, highlight=False, soft_wrap=True)

    def _terminal(self) -> Any:
        if self._console is None:
            from rich.console import Console as Terminal

            self._console = Terminal(quiet=is_quiet())
        return self._console

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _bar(console: Any) -> Any:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from tunesmith.cli.languages import translate

    return Progress(
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[metrics]}", markup=False),
        TimeElapsedColumn(),
        TextColumn(translate("left")),
        TimeRemainingColumn(),
        console=console,
        refresh_per_second=4,
    )
