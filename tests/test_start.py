"""What a run imports: packages that are installed and not used stay out of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tunesmith_library_testing.tiny import save_tiny_model

UNUSED = {
    *(
        "bitsandbytes",
        "hqq",
        "torchao",
        "scipy",
        "sklearn",
        "deepspeed",
        "trl",
        "flash_attn",
        "vllm",
    ),
    *("aiohttp", "tensorboard", "wandb", "mlflow", "gradio", "fastapi", "uvicorn", "torchvision", "torchaudio"),
    *("torch._inductor.compile_fx", "matplotlib.pyplot", "IPython", "pytest", "_pytest"),
}
"""Of what is imported because it is there, by transformers, peft, accelerate, datasets or us."""

PROGRAM = """
import json, sys
import tunesmith
tunesmith.train("run.yaml")
print(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.slow
def test_a_run_imports_what_it_uses(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "model")
    rows = [{"instruction": f"Count to {last}.", "output": " ".join(map(str, range(last)))} for last in range(1, 9)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    (tmp_path / "run.yaml").write_text(
        "model: {path: model}\ndata: {train: [rows.json], cache: false}\ntemplate: chatml\nprecision: fp32\n"
        "output_dir: out\ntrainer: {max_steps: 2, per_device_train_batch_size: 2}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    imported = set(json.loads(done.stdout.splitlines()[-1]))
    assert "transformers.trainer" in imported
    assert sorted(UNUSED & imported) == []
