"""What a plan says of memory, beside what trainings take: a few of those that `tests/bench/planner.py` measures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PLANNER = Path(__file__).parent / "bench" / "planner.py"


def worst(cases: str, kind: str) -> float:
    """The largest error of the predicted peak, as a share of what was measured."""
    told = {"CASES": cases, "KINDS": kind, "STEPS": "2"}
    done = subprocess.run(
        [sys.executable, str(PLANNER)], env={**os.environ, **told}, capture_output=True, text=True, timeout=550
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    found = re.search(rf"^{kind}: .*worst (\S+)%", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout
    return float(found[1]) / 100


@pytest.mark.slow
def test_what_torch_allocates_is_predicted() -> None:
    """All weights by AdamW, and LoRA, of 20 M parameters: within 15 %."""
    assert worst("0,6", "allocated") <= 0.15


@pytest.mark.gpu
def test_what_a_gpu_has_to_hold_is_predicted() -> None:
    """Full, LoRA, QLoRA and activations computed again, with torch's reserve and the context: within 25 %."""
    assert worst("11,18,23,28", "cuda") <= 0.25
