"""A long run holds no more memory at its end than after its first two thousand steps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from tunesmith_library_testing.tiny import save_tiny_model

STEPS, EVERY = 20_000, 1_000
WARM = 2_000  # steps in which what is made once, by the allocator and the libraries, is made
MOST = 5.0  # MB

TRACKER = '''
import ctypes
import gc

from tunesmith import hookimpl, plugin
from tunesmith.types import StepEnded


@plugin
class Memory:
    """Prints what the process holds, without what the allocator has back and keeps."""

    @hookimpl
    def on_event(self, event):
        if isinstance(event, StepEnded) and event.step % 1_000 == 0:
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)
            with open("/proc/self/status") as lines:
                kib = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
            print("held", event.step, kib, flush=True)
'''


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_flat(tmp_path: Path) -> None:
    """Steps that are logged, evaluated, drawn and saved, 20,000 of them, in a process of its own."""
    (tmp_path / "memory.py").write_text(TRACKER)
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps({"messages": talk}) + "\n" for _ in range(64)))
    every = {"logging_steps": 10, "save_steps": EVERY // 2, "eval_steps": EVERY // 2, "eval_strategy": "steps"}
    config = {
        "output_dir": str(tmp_path / "run"),
        "precision": "fp32",
        "model": {"path": str(save_tiny_model(tmp_path / "model", hidden_size=32, layers=1))},
        "template": "chatml",
        "adapter": "full",
        "data": {"train": [str(tmp_path / "train.jsonl")], "val_size": 4, "cache_dir": str(tmp_path / "cache")},
        "trainer": {"max_steps": STEPS, "per_device_train_batch_size": 1, "use_cpu": True, **every},
        "tracker": {"jsonl": {}, "plot": {}, f"{tmp_path}/memory.py:Memory": {}},
    }
    words = [sys.executable, "-c", "import json, sys, tunesmith; tunesmith.train(json.loads(sys.argv[1]))"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*words, json.dumps(config)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    found = [line.split() for line in done.stdout.splitlines() if line.startswith("held ")]
    held = {int(step): int(kib) / 1024 for _, step, kib in found}
    assert list(held) == list(range(EVERY, STEPS + 1, EVERY))
    grown = max(held.values()) - held[WARM]
    print(f"{STEPS:,} steps: {held[WARM]:.1f} MB after {WARM:,}, {grown:+.1f} MB at most afterwards")
    changes = [round(later - former, 2) for former, later in pairwise(held.values())]
    assert grown < MOST, f"grown by {grown:.1f} MB; MB per 1,000 steps: {changes}"
