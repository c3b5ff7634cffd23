"""An engine with weights of its own answers for a stage that generates as the trained model itself does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tunesmith_library_testing.parts import logged

pytestmark = pytest.mark.slow

# a second model, of the files, which is given the trained weights; and a note of what was asked of it
ENGINE = """
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.traits import EngineTraits


@plugin
class Apart:
    traits: ClassVar[EngineTraits] = EngineTraits(loads_weights=True)

    @hookimpl
    def open_engine(self, handle):
        from tunesmith_engine_transformers import Transformers
        from tunesmith_library_testing.parts import load_plain

        engine = Transformers().open_engine(replace(handle, load=lambda: load_plain(handle.source.path)))
        for name in ("load_weights", "submit_all", "sleep", "wake"):
            setattr(engine, name, noting(name, getattr(engine, name)))
        return engine


def noting(name, method):
    def noted(*given):
        given = [list(some) for some in given]
        with Path(os.environ["NOTED"]).open("a") as file:
            file.write(json.dumps([name, *map(len, given)]) + "\\n")
        return method(*given)

    return noted
"""
RULE = """
def rule(prompts, completions, rows):
    return [text.count("e") / max(len(text), 1) for text in completions]
"""
PPO = {"name": "ppo", "total_steps": 3, "batch_size": 8, "mini_batch_size": 4, "max_new_tokens": 8, "use_cpu": True}
GRPO = {"name": "grpo", "num_generations": 4, "max_completion_length": 8}
FAST = {"learning_rate": 1e-2, "lr_scheduler_type": "constant"}


@pytest.mark.parametrize(("stage", "drawings"), [({**PPO, **FAST, "eval_steps": 0}, 6), (GRPO, 3)])
def test_the_training_is_the_same(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: dict[str, Any], drawings: int
) -> None:
    """From the same seeds the same answers are drawn: their rewards and the weights that are learned agree."""
    torch = pytest.importorskip("torch")
    import tunesmith
    from safetensors.torch import load_file

    rows = [{"instruction": f"Say {number}.", "output": "e"} for number in range(12)]
    (tmp_path / "train.json").write_text(json.dumps(rows))
    (tmp_path / "rule.py").write_text(RULE)
    (tmp_path / "apart.py").write_text(ENGINE)
    config = {
        "model.path": str(tiny_llama),
        "template": "chatml",
        "data": {"train": [{"path": str(tmp_path / "train.json"), "format": "alpaca"}], "cache": False},
        "stage": stage,
        "adapter": {"name": "lora", "rank": 4},
        "tracker": ["jsonl"],
        "precision": "fp32",
        "reward": {"function": {"path": f"{tmp_path / 'rule.py'}:rule"}},
        "trainer": {"max_steps": 3, "per_device_train_batch_size": 8, "logging_steps": 1, "use_cpu": True, **FAST},
    }
    monkeypatch.setenv("NOTED", str(tmp_path / "noted.jsonl"))
    own = tunesmith.train(None, {**config, "output_dir": str(tmp_path / "own")})
    other = {"output_dir": str(tmp_path / "other"), "engine": f"{tmp_path / 'apart.py'}:Apart"}
    apart = tunesmith.train(None, {**config, **other})

    assert logged(apart, "reward") == pytest.approx(logged(own, "reward"), abs=1e-6)
    first, second = (load_file(run / "adapter_model.safetensors") for run in (own, apart))
    for name, weight in first.items():
        torch.testing.assert_close(second[name], weight, atol=1e-3, rtol=1e-3, msg=name)
    assert any(weight.abs().max() > 5e-3 for name, weight in first.items() if "lora_B" in name), "they were trained"

    noted = [json.loads(line) for line in (tmp_path / "noted.jsonl").read_text().splitlines()]
    weights = len(load_file(tiny_llama / "model.safetensors"))
    once = [["load_weights", weights], ["submit_all", 8 * 3 // drawings], ["sleep"]]
    assert noted == once + [["wake"], *once] * (drawings - 1)
