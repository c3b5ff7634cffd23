"""What a notebook shows of a run: one output that changes."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from tunesmith.types import Evaluated, RunEnded, RunStarted, StepEnded
from tunesmith_tracker_console import Console
from tunesmith_tracker_console.notebook import Board, curve, in_notebook


class Notebook:
    """Outputs as a notebook has them; an update takes the place of what was there."""

    def __init__(self) -> None:
        self.outputs: list[dict[str, str]] = []
        self.updates = 0

    def display(self, bundle: dict[str, str], raw: bool, display_id: bool) -> Any:
        assert raw and display_id
        self.outputs.append(bundle)
        place = len(self.outputs) - 1

        def update(bundle: dict[str, str], raw: bool) -> None:
            self.updates += 1
            self.outputs[place] = bundle

        return SimpleNamespace(update=update)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    made = Notebook()
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=made.display))  # type: ignore[arg-type]
    return made


def test_a_run_is_one_output(notebook: Notebook, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """However many steps: drawn now and then, the last state at the end; nothing is printed beside it."""
    tracker = Console(metrics=["loss"])
    tracker.on_event(RunStarted(tmp_path, 5000, {}))
    for step in range(1, 5001):
        tracker.on_event(StepEnded(step, 5000, step / 5000, {"loss": 5 / step}))
    tracker.on_event(Evaluated(5000, {"eval_<b>": 1.5}))
    tracker.on_event(RunEnded("finished", {"train_loss": 1.0}))
    (shown,) = notebook.outputs
    assert notebook.updates < 500 and capfd.readouterr() == ("", "")
    page = ElementTree.fromstring(shown["text/html"])
    assert page[0].attrib["value"] == page[0].attrib["max"] == "5000"
    points = page.find(".//polyline").attrib["points"].split()  # type: ignore[union-attr]
    assert 100 < len(points) <= 240
    assert "eval_<b> 1.5" in "".join(page.itertext()) and "finished after step 5000" in shown["text/plain"]
    tracker.on_event(RunStarted(tmp_path, 2, {}, resumed_from=1))
    assert len(notebook.outputs) == 2 and "continues at step 1 of 2" in notebook.outputs[1]["text/plain"]


@pytest.mark.parametrize(
    ("shell", "is_one"), [(None, False), (SimpleNamespace(), False), (SimpleNamespace(kernel=1), True)]
)
def test_a_terminal_of_ipython_is_no_notebook(monkeypatch: pytest.MonkeyPatch, shell: Any, is_one: bool) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]
    assert in_notebook() is is_one


def test_a_bar_can_be_refused_in_a_notebook(
    notebook: Notebook, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tracker = Console(bar=False)
    for event in (RunStarted(tmp_path, 1, {}), StepEnded(1, 1, 1.0, {"loss": 1.0}), RunEnded("finished")):
        tracker.on_event(event)
    assert not notebook.outputs and "loss 1.0000" in capfd.readouterr().out


def test_curve_of_few_or_equal_or_strange_values() -> None:
    """The highest value stands at the top, the lowest at the bottom; what is not finite is left out."""
    assert curve([]) == curve([(1, 2.0)]) == ""
    assert 'points="0.0,0.0 480.0,120.0"' in curve([(1, 2.0), (3, 1.0)])
    assert 'points="0.0,0.0 480.0,0.0"' in curve([(1, 2.0), (2, 2.0)])
    board = Board(3)
    board._drawn = math.inf  # nothing is drawn
    board.advance(1, {"loss": math.nan}, {})
    board.advance(2, {"loss": math.inf}, {"loss": "inf"})
    assert "svg" not in board.html() and "inf" in board.html()
