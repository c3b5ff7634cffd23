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

HEAVY = {
    "torch",
    "numpy",
    "pyarrow",
    "datasets",
    "transformers",
    "tokenizers",
    "asyncio",
    "huggingface_hub",
    "requests",
}
"""Of what a run needs and a plan does not, which answers in half a second."""

PLAN = """
import json, sys
from tunesmith.cli import main
sys.argv = ["tunesmith", "plan", "run.yaml"]
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)))
"""

PROGRAM = """
import json, sys
import tunesmith
tunesmith.train("run.yaml")
print(json.dumps(sorted(sys.modules)))
"""


def test_a_plan_imports_nothing_heavy(tmp_path: Path) -> None:
    """With a model's `config.json` and data in files its figures are there, time and data included."""
    config = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    config |= {"num_attention_heads": 4, "vocab_size": 256, "architectures": ["LlamaForCausalLM"]}
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    (tmp_path / "rows.json").write_text(json.dumps([{"instruction": "Count.", "output": "1 2 3"}] * 40))
    (tmp_path / "run.yaml").write_text("model: {path: model}\ndata: {train: [rows.json]}\ntemplate: chatml\n")
    done = subprocess.run(
        [sys.executable, "-c", PLAN], capture_output=True, text=True, timeout=100, check=False, cwd=tmp_path
    )
    assert "optimizer states" in done.stdout, done.stdout + done.stderr
    assert sorted(HEAVY & set(json.loads(done.stdout.splitlines()[-1]))) == []


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
