"""The command plot: what is chosen, where the picture goes, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tunesmith import TunesmithError
from tunesmith_command_plot import Plot
from tunesmith_command_plot.plotting import plotted
from tunesmith_library_testing import CommandSuite


class TestPlotCommand(CommandSuite):
    plugin = Plot


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    """Two runs that log the same, and evaluate."""
    for number, name in enumerate(("a", "b"), 1):
        folder = tmp_path / name / "out"
        folder.mkdir(parents=True)
        records: list[dict[str, Any]] = [
            {
                "step": step,
                "epoch": step / 10,
                "loss": number + 4 / step,
                "grad_norm": 1.0,
                "kl": 0.1,
                "time": 5.0 * step,
            }
            for step in range(1, 11)
        ]
        records.append({"step": 10, "eval_held_loss": 1.5, "eval_held_bleu": 20.0})
        (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return [str(tmp_path / name / "out") for name in ("a", "b")]


def words(path: Path) -> list[str]:
    """The words of a picture in SVG, in which matplotlib keeps each text as a comment."""
    return [line.strip(" <!->") for line in path.read_text().splitlines() if line.strip().startswith("<!--")]


def test_draws_all_that_is_known(runs: list[str], tmp_path: Path) -> None:
    """Runs whose folders are called alike are told apart by those above."""
    drawn = words(plotted(runs, str(tmp_path / "new" / "both.svg"), [], 0.9, "step"))
    assert {"loss", "gradient norm", "eval_held_bleu", "a/out", "b/out"} <= set(drawn)
    assert "kl" not in drawn


@pytest.mark.parametrize(
    ("metrics", "panels"), [(["loss"], ["loss"]), (["kl", "gradient norm"], ["gradient norm", "kl"])]
)
def test_draws_what_is_chosen(metrics: list[str], panels: list[str], runs: list[str], tmp_path: Path) -> None:
    drawn = words(plotted(runs[:1], str(tmp_path / "one.svg"), metrics, 0.0, "epoch"))
    every = {"loss", "gradient norm", "kl", "eval_held_bleu"}
    assert [word for word in drawn if word in every] == panels and drawn.count("epoch") == len(panels)


def test_the_only_set_of_an_evaluation_is_drawn_once(tmp_path: Path) -> None:
    """`eval_loss` repeats `eval_test_loss` there; who asks for it by its name gets it."""
    records = [{"step": step, "loss": 2.0, "eval_test_loss": 1.0, "eval_loss": 1.0} for step in (1, 2)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    drawn = words(plotted([str(tmp_path)], str(tmp_path / "a.svg"), ["loss"], 0.0, "step"))
    assert "evaluation test" in drawn and "evaluation" not in drawn
    drawn = words(plotted([str(tmp_path)], str(tmp_path / "b.svg"), ["eval_loss"], 0.0, "step"))
    assert "evaluation" in drawn and "evaluation test" not in drawn


@pytest.mark.parametrize(
    ("output", "metrics", "axis", "said"),
    [
        ("curves", [], "step", r"curves names no format.*\.png, \.svg, \.pdf"),
        ("curves.svg", ["los"], "step", r"los is logged by none of these runs.*did you mean loss"),
        ("curves.svg", [], "tokens", r"out, out: the tokens of steps is not logged"),
    ],
)
def test_refuses(output: str, metrics: list[str], axis: str, said: str, runs: list[str], tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=f"(?s){said}"):
        plotted(runs, str(tmp_path / output), metrics, 0.9, axis)
    assert not (tmp_path / output).exists()


def test_is_a_command(runs: list[str]) -> None:
    answer = CliRunner().invoke(Plot().command(), [runs[0], "--metrics", "loss,grad_norm", "--x", "time"])
    assert answer.exit_code == 0, answer.output
    assert answer.output == f"drawn: {runs[0]}/curves.png\n" and (Path(runs[0]) / "curves.png").is_file()
