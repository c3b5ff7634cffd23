"""Runs that are killed at random moments end, when they are started again, with the bits of one that went through.

`TUNESMITH_KILLS=100 make test-slow` kills as often as is reported in docs/reliability.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from killing import CASES

KILLS = int(os.environ.get("TUNESMITH_KILLS", "12"))
SEED = int(os.environ.get("TUNESMITH_KILLS_SEED", "0"))
PROGRAM = Path(__file__).parents[1] / "killing.py"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the runs are forked")
@pytest.mark.parametrize("case", CASES)
def test_killed_runs_end_as_if_nothing_had_been(case: str, tiny_llama: Path, tmp_path: Path) -> None:
    """No run hangs, shows a traceback, leaves a lock or half a folder, or ends with other weights."""
    count = -(-KILLS // len(CASES))
    command = [sys.executable, str(PROGRAM), case, str(tiny_llama), str(tmp_path), str(count), str(SEED)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROGRAM.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    kills = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(kills) == count
    wrong = [one for one in kills if one["hung"] or one["tracebacks"] or one["left"] or not one["identical"]]
    assert not wrong, wrong
