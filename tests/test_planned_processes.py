"""What is planned for each of two processes is what it holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tunesmith_library_estimates.estimating import estimate
from tunesmith_library_testing.several import config_of
from tunesmith_library_testing.tiny import save_tiny_model

PROBE = Path(__file__).parent / "process_memory.py"
# what is freed is given back at once, so that what is held is what is used
EXACT = {"MALLOC_MMAP_THRESHOLD_": "1000000", "MALLOC_TRIM_THRESHOLD_": "1000000", "MALLOC_ARENA_MAX": "1"}
LENGTH = 128  # tokens, at most
SIZES = {"hidden_size": 512, "layers": 8, "intermediate_size": 1536, "vocab_size": 32_000}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 57M weights, most of them in no layer; in 16 bits, so that none of them stays mapped from its file."""
    folder = tmp_path_factory.mktemp("model") / "57M"
    return save_tiny_model(folder, tie_word_embeddings=False, dtype="bfloat16", **SIZES)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
@pytest.mark.parametrize(
    "parallel",
    [{"name": "ddp"}, {"name": "fsdp"}, {"name": "deepspeed", "stage": 2}],
    ids=lambda chosen: str(chosen["name"]),
)
def test_a_process_holds_what_is_planned(parallel: dict[str, object], model: Path, tmp_path: Path) -> None:
    steps = {"per_device_train_batch_size": 1, "optim": "adamw_torch_fused"}
    config = config_of(model, tmp_path, "run", **steps)
    config |= {"parallel": {**parallel, "processes": 2}, "stage": {"name": "sft", "max_length": LENGTH}}
    made = estimate(config)
    planned = max(sum(made.bytes(phase).values()) for phase in ("forward", "backward", "step"))
    config["patch"] = {f"{PROBE}:Probe": {"folder": str(tmp_path)}}
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    command = [sys.executable, "-m", "tunesmith", "train", str(tmp_path / "config.yaml")]
    environment = {**os.environ, **EXACT, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    measured = max(float((tmp_path / str(rank)).read_text()) for rank in range(2))
    assert planned == pytest.approx(measured, rel=0.15)
