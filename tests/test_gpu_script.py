"""`make gpu` on the CPU: it goes to its end, with a result of each figure, whatever becomes of one of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parent / "gpu"


def run(out: Path, *options: str) -> list[dict]:
    command = [sys.executable, str(SCRIPT), "--dry", "--out", str(out), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_every_figure_has_a_result(tmp_path: Path) -> None:
    found = run(tmp_path / "out", "--only", "sft 0.5B", "dpo", "generation", "memory")
    assert not [told for told in found if "failed" in told]
    measured = {(told["case"], told["step"]): told for told in found if told["step"] in ("ours", "theirs")}
    assert len(measured) == 28
    for told in measured.values():
        assert told["tokens_per_second"] > 0 and told["resident_gib"] > 0
    for case in ("sft 0.5B full", "sft 0.5B lora", "sft 0.5B qlora", "sft 0.5B lora, 16 of 1"):
        ours, theirs = measured[case, "ours"], measured[case, "theirs"]
        assert ours["tokens"] == theirs["tokens"]
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=0.05)  # of the same examples, averaged otherwise
    table = (tmp_path / "out" / "table.md").read_text()
    assert all(f"| {case} | {who} |" in table for case, who in measured)


def test_one_that_fails_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that breaks when it is imported: TRL's figure fails, ours does not."""
    (tmp_path / "broken" / "trl").mkdir(parents=True)
    (tmp_path / "broken" / "trl" / "__init__.py").write_text("raise RuntimeError('broken here')\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "broken"), os.environ.get("PYTHONPATH", "")]))
    found = {told["step"]: told for told in run(tmp_path / "out", "--only", "dpo")}
    assert "broken here" in found["theirs"]["failed"]
    assert found["ours"]["tokens_per_second"] > 0


def test_ends_in_time(tmp_path: Path) -> None:
    found = run(tmp_path / "out", "--seconds", "14", "--only", "memory")
    assert found[-1]["failed"] == "not run: no time is left"
