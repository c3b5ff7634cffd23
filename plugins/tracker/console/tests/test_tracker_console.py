"""What a reader of the terminal sees."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console as Terminal
from tunesmith.types import Evaluated, RunEnded, RunStarted, Saved, StepEnded
from tunesmith_library_testing import TrackerSuite
from tunesmith_tracker_console import Console, describe

METRICS = {"loss": 1.25, "learning_rate": 1e-4, "tokens_per_second": 12345.6, "grad_norm": 0.5}


class TestConsole(TrackerSuite):
    plugin = Console


def shown(tracker: Console, events: list[Any], terminal: bool) -> str:
    """What a run prints."""
    written = io.StringIO()
    tracker._console = Terminal(file=written, force_terminal=terminal, width=100)
    for event in events:
        tracker.on_event(event)
    return written.getvalue()


def run(folder: Path) -> list[Any]:
    return [
        RunStarted(folder, 4, {}, resumed_from=1),
        StepEnded(2, 4, 0.5, METRICS),
        StepEnded(3, 4, 0.75, {}),
        Evaluated(3, {"eval_loss": 1.5}),
        Saved(3, folder / "checkpoint-3"),
        StepEnded(4, 4, 1.0, METRICS),
        RunEnded("finished", {"train_loss": 1.3, "train_seconds": 61.0}),
    ]


def test_plain_lines_without_a_terminal(tmp_path: Path) -> None:
    """One line per logged step, evaluation and checkpoint, without control characters."""
    printed = shown(Console(), run(tmp_path), terminal=False)
    assert "\x1b" not in printed
    assert printed.splitlines() == [
        "continues at step 1 of 4",
        "step 2/4  epoch 0.50  loss 1.2500  lr 1.00e-04  tok/s 12,346",
        "step 3  eval_loss 1.5000",
        f"step 3  saved {tmp_path / 'checkpoint-3'}",
        "step 4/4  epoch 1.00  loss 1.2500  lr 1.00e-04  tok/s 12,346",
        "finished after step 4  train_loss 1.3000  seconds 61.0",
    ]


def test_what_is_measured_of_one_data_set_is_said_once(tmp_path: Path) -> None:
    """Of several sets each is named; of one, its number is that of all."""
    several = {"eval_a_loss": 1.5, "eval_b_loss": 2.5, "eval_loss": 2.0}
    one = {"eval_my_test_loss": 1.5, "eval_loss": 1.5, "eval_my_test_bleu": 0.5, "eval_bleu": 0.5, "train_loss": 1.5}
    printed = shown(Console(), [Evaluated(1, several), Evaluated(2, one)], terminal=False)
    assert printed.splitlines() == [
        "step 1  eval_a_loss 1.5000  eval_b_loss 2.5000  eval_loss 2.0000",
        "step 2  eval_loss 1.5000  eval_bleu 0.5  train_loss 1.5000",
    ]


def test_bar_in_a_terminal(tmp_path: Path) -> None:
    """The bar reaches its end and shows the last metrics; the summary comes below it."""
    printed = shown(Console(), run(tmp_path), terminal=True)
    assert "4/4" in printed and "loss 1.2500" in printed and "\x1b" in printed
    assert printed.rindex("4/4") < printed.rindex("finished after step 4")


@pytest.mark.parametrize("status", ["interrupted", "failed"])
def test_bar_is_closed_when_a_run_breaks(tmp_path: Path, status: str) -> None:
    """The terminal gets its cursor back."""
    tracker = Console(bar=True)
    printed = shown(tracker, [*run(tmp_path)[:3], RunEnded(status)], terminal=True)
    assert printed.rindex("\x1b[?25h") > printed.rindex("\x1b[?25l")
    assert f"{status} after step 3" in printed


def test_goes_to_stdout_unless_the_user_wants_quiet(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`> log` has the steps; `--quiet`, which is the level of the kernel's logger, leaves them out."""
    tracker = Console()
    for event in run(tmp_path):
        tracker.on_event(event)
    written = capfd.readouterr()
    assert written.out.endswith("finished after step 4  train_loss 1.3000  seconds 61.0\n") and written.err == ""
    monkeypatch.setattr(logging.getLogger("tunesmith"), "level", logging.WARNING)
    for bar in (None, True):
        quiet = Console(bar=bar)
        for event in run(tmp_path):
            quiet.on_event(event)
    assert capfd.readouterr() == ("", "")


def test_chosen_metrics(tmp_path: Path) -> None:
    printed = shown(Console(metrics=["grad_norm", "absent"]), run(tmp_path), terminal=False)
    assert "step 2/4  epoch 0.50  grad_norm 0.50\n" in printed


def test_brackets_are_not_markup(tmp_path: Path) -> None:
    """A folder named [bold] is printed as it is."""
    printed = shown(Console(), [RunStarted(tmp_path, 1, {}), Saved(1, Path("[bold]run"))], terminal=False)
    assert "[bold]run" in printed


def test_describe_takes_any_metric() -> None:
    assert describe({"eval_a_loss": float("nan"), "accuracy": 0.123456}) == "eval_a_loss nan  accuracy 0.1235"
