"""The command line in processes of its own: what goes where, and what the exit code says after a real Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def start(tiny_llama: Path, tmp_path: Path) -> Callable[..., Any]:
    """Starts `tunesmith train` on a tiny model; stdout and stderr go to files, as with `> log 2> errors`."""
    rows = [{"instruction": f"Say {number}.", "output": f"{number} is said."} for number in range(20)]
    (tmp_path / "data.json").write_text(json.dumps(rows))
    config = {
        "model": {"path": str(tiny_llama)},
        "template": "chatml",
        "data": {"train": ["data.json"], "cache": False},
        "output_dir": "run",
        "trainer": {"max_steps": 2, "logging_steps": 1, "save_strategy": "no"},
    }
    (tmp_path / "x.yaml").write_text(json.dumps(config))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TUNESMITH", "HF_HUB_D"))}

    def start(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tunesmith", "train", *words]
        with open(tmp_path / "log", "w") as log, open(tmp_path / "errors", "w") as errors:
            return subprocess.Popen(command, stdout=log, stderr=errors, text=True, cwd=tmp_path, env=environment)

    return start


def waits_for(text: str, file: Path) -> None:
    for _ in range(1200):
        if text in file.read_text():
            return
        time.sleep(0.1)
    raise AssertionError(f"{text!r} is not in {file.read_text()!r}")


def test_the_log_has_what_a_run_reports(start: Any, tmp_path: Path) -> None:
    """Every line of ours, no line of a library, and nothing on stderr."""
    assert start("x.yaml").wait(300) == 0
    log = (tmp_path / "log").read_text()
    steps = ("step 1/2  epoch ", "step 2/2  epoch ", "finished after step 2")
    for line in ("precision: ", "trained: ", *steps, "done: run"):
        assert f"\n{line}" in f"\n{log}"
    ours = (
        "data",
        "precision",
        "activations",
        "memory",
        "adapted",
        "attention",
        "trained",
        "step",
        "finished",
        "done: run",
        "  tunesmith ",
        "pad token",
    )
    assert [line for line in log.splitlines() if not line.startswith(ours)] == []
    assert (tmp_path / "errors").read_text() == ""


def test_quiet_is_quiet(start: Any, tmp_path: Path) -> None:
    assert start("x.yaml", "adapter=full", "--quiet").wait(300) == 0
    assert (tmp_path / "log").read_text() == "done: run\n"
    assert (tmp_path / "errors").read_text() == ""


def test_an_interrupted_run_can_be_told_from_a_crash_and_goes_on(start: Any, tmp_path: Path) -> None:
    process = start("x.yaml", "trainer.max_steps=100000", "trainer.logging_steps=1")
    waits_for("step 3/", tmp_path / "log")
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 75
    errors = (tmp_path / "errors").read_text()
    assert "interrupted. continue with: tunesmith train run resume=true\n" in errors and "Traceback" not in errors
    assert "interrupted after step" in (tmp_path / "log").read_text()
    (checkpoint,) = (tmp_path / "run").glob("checkpoint-*")
    done = int(checkpoint.name.partition("-")[2])
    assert start("run", "resume=true", f"trainer.max_steps={done + 1}", "output_dir=run").wait(300) == 0
    assert f"continues at step {done} of {done + 1}\n" in (tmp_path / "log").read_text()


def test_an_interruption_before_the_first_step_is_another_code(start: Any, tmp_path: Path) -> None:
    process = start("x.yaml")
    waits_for("precision: ", tmp_path / "log")
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130
    errors = (tmp_path / "errors").read_text()
    assert errors.endswith("interrupted.\n") and "Traceback" not in errors and "resume" not in errors


@pytest.mark.parametrize("seconds", [0.4, 0.8, 1.2, 1.6, 2.4, 3.6])
def test_a_ctrl_c_at_any_moment_of_the_start_is_one_line(start: Any, tmp_path: Path, seconds: float) -> None:
    process = start("x.yaml", "trainer.max_steps=100000", "trainer.logging_steps=1")
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    code, errors = process.wait(120), (tmp_path / "errors").read_text()
    words = {130: "interrupted.\n", 75: "interrupted. continue with: tunesmith train run resume=true\n"}
    assert errors == words[code]
