"""Two processes that share a model by ZeRO train as one, and go on as one, and one as two."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tunesmith
from tunesmith_library_testing.parts import logged

pytestmark = pytest.mark.slow

LORA = {"name": "lora", "rank": 4, "dropout": 0.0}


@pytest.fixture(autouse=True)
def alone(no_launcher: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def write_rows(folder: Path, stage: str) -> str:
    """Answers of very different lengths, so that processes count different tokens."""
    texts = [f"The tide turns {n} times. " * (1 + n % 5) for n in range(24)]
    if stage in ("dpo", "reward"):
        asked = [[{"from": "human", "value": f"Say {n}."}] for n in range(24)]
        rows: list[Any] = [
            {
                "conversations": turn,
                "chosen": {"from": "gpt", "value": text},
                "rejected": {"from": "gpt", "value": "No."},
            }
            for turn, text in zip(asked, texts, strict=True)
        ]
    else:
        rows = [{"instruction": f"Say {n}.", "output": text} for n, text in enumerate(texts)]
    (folder / f"{stage}.json").write_text(json.dumps(rows))
    return str(folder / f"{stage}.json")


def train(model: Path, folder: Path, name: str, *, processes: int, steps: int = 4, **options: Any) -> Path:
    """Four examples in a forward pass of all processes; `options` are overrides, those of `parallel` for two alone."""
    stage, adapter = options.pop("stage", "sft"), options.pop("adapter", "full")
    config = {
        "model": {"path": str(model)},
        "template": "chatml",
        "data": {"train": [write_rows(folder, stage)], "cache": False},
        "stage": stage,
        "adapter": adapter,
        "tracker": ["jsonl"],
        "precision": "fp32",
        "output_dir": str(folder / name),
        "trainer": {
            "max_steps": steps,
            "per_device_train_batch_size": 4 // processes,
            "learning_rate": 1e-3,
            "lr_scheduler_type": "constant",
            "warmup_ratio": 0.0,
            "weight_decay": 0.1,
            "max_grad_norm": 0.5,
            "logging_steps": 1,
            "save_strategy": "steps",
            "save_steps": 2,
            "use_cpu": True,
        },
    }
    several = {"parallel": "deepspeed", "parallel.processes": processes} if processes > 1 else {}
    chosen = {key: value for key, value in options.items() if processes > 1 or not key.startswith("parallel")}
    return tunesmith.train(config, {**several, **chosen})


def assert_alike(one: Path, two: Path, tolerance: float = 2e-5) -> None:
    """The same weights to rounding, and the same losses of the steps that both told of."""
    from safetensors.torch import load_file

    (first,), (second,) = (sorted(run.glob("*model.safetensors")) for run in (one, two))
    weights, others = load_file(first), load_file(second)
    assert weights.keys() == others.keys() and first.name == second.name
    assert max(float((weights[name] - others[name]).abs().max()) for name in weights) < tolerance
    assert logged(two)[-2:] == pytest.approx(logged(one)[-2:], rel=1e-5)


def test_zero_3_shares_all_weights(tiny_llama: Path, tmp_path: Path) -> None:
    """Accumulated and clipped as in one process; and one process goes on with what two have written."""
    accumulated: dict[str, Any] = {"trainer.gradient_accumulation_steps": 2, "parallel.stage": 3}
    one = train(tiny_llama, tmp_path, "one", processes=1, **accumulated)
    two = train(tiny_llama, tmp_path, "two", processes=2, **accumulated)
    assert_alike(one, two)
    files = {path.name for path in (two / "checkpoint-2").rglob("*")}
    assert files == {path.name for path in (one / "checkpoint-2").rglob("*")}, "the same files as of one process"
    assert not [path for path in two.rglob("*") if path.suffix in (".pt", ".bin", ".pth", ".pkl")]
    shutil.rmtree(two / "checkpoint-4")
    (two / "model.safetensors").unlink()
    assert_alike(one, train(tiny_llama, tmp_path, "two", processes=1, resume=True, **accumulated))


def test_an_adapter_goes_on_in_two_processes(tiny_llama: Path, tmp_path: Path) -> None:
    """Of one process's checkpoint, with the optimizer on the CPU; the frozen base is spread as it is loaded."""
    one = train(tiny_llama, tmp_path, "one", processes=1, adapter=LORA)
    shutil.copytree(one, tmp_path / "two")
    shutil.rmtree(tmp_path / "two" / "checkpoint-4")
    (tmp_path / "two" / "adapter_model.safetensors").unlink()
    further: dict[str, Any] = {"parallel.stage": 3, "parallel.offload_optimizer": "cpu", "resume": True}
    assert_alike(one, train(tiny_llama, tmp_path, "two", processes=2, adapter=LORA, **further))


def test_preferences_with_a_reference_that_is_spread_too(tiny_llama: Path, tmp_path: Path) -> None:
    one = train(tiny_llama, tmp_path, "one", processes=1, stage="dpo", steps=2)
    two = train(tiny_llama, tmp_path, "two", processes=2, stage="dpo", steps=2, **{"parallel.stage": 3})
    assert_alike(one, two)


def test_a_reward_model_whose_head_is_cut_once_it_is_loaded(tiny_llama: Path, tmp_path: Path) -> None:
    one = train(tiny_llama, tmp_path, "one", processes=1, stage="reward", adapter=LORA, steps=2)
    cut: dict[str, Any] = {"parallel.stage": 3}
    assert_alike(one, train(tiny_llama, tmp_path, "two", processes=2, stage="reward", adapter=LORA, steps=2, **cut))


def test_an_adapter_learns_preferences_with_zero_2(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a user's file, whose `auto` values are filled; nothing is compiled for it."""
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "compiled"))
    file = tmp_path / "zero2.json"
    file.write_text(json.dumps({"zero_optimization": {"stage": 2}, "gradient_clipping": "auto"}))
    one = train(tiny_llama, tmp_path, "one", processes=1, stage="dpo", adapter=LORA, steps=2)
    from_file: dict[str, Any] = {"parallel.config": str(file)}
    assert_alike(one, train(tiny_llama, tmp_path, "two", processes=2, stage="dpo", adapter=LORA, steps=2, **from_file))
    assert not (tmp_path / "compiled").exists()
