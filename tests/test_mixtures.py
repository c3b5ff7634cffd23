"""Mixtures of experts end to end: few bits, LoRA over them, a run that is continued, and what is exported of it."""

import json
from pathlib import Path

import pytest
import torch
import tunesmith
from tunesmith_library_testing.parts import load_plain

pytestmark = pytest.mark.slow


def config(folder: Path, model: Path, **others):
    rows = [
        {"messages": [{"role": "user", "content": f"what is {i}?"}, {"role": "assistant", "content": f"it is {i}"}]}
        for i in range(24)
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return {
        "model": str(model),
        "template": "chatml",
        "data": {"train": [{"path": str(folder / "rows.jsonl"), "format": "openai"}], "cache": False},
        "stage": "sft",
        "adapter": "lora",
        "tracker": {"jsonl": {}},
        "precision": "fp32",
        "output_dir": str(folder / "run"),
        "trainer": {
            "max_steps": 4,
            "per_device_train_batch_size": 4,
            "learning_rate": 5e-3,
            "logging_steps": 1,
            "save_strategy": "steps",
            "save_steps": 2,
        },
        **others,
    }


@pytest.mark.parametrize("quantizer", [None, "bitsandbytes", {"name": "hqq", "group_size": 32}])
@pytest.mark.parametrize("architecture", ["qwen3_moe", "gpt_oss"])
def test_trains_continues_and_is_exported(tiny_mixtures, tmp_path: Path, architecture, quantizer) -> None:
    """The export is the whole base, with what was learned in each expert: its answers are those of adapter and base."""
    base = tiny_mixtures[architecture]
    asked = config(tmp_path, base, quantizer=quantizer)
    asked["model"] = {"path": str(base)}
    tunesmith.train(asked)
    run = tunesmith.train(asked, {"resume": True, "trainer.max_steps": 6})
    losses = [json.loads(line).get("loss") for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [loss for loss in losses if loss is not None]
    assert losses[-1] < losses[0]
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        logits = tunesmith.open_model(str(run)).load().eval()(input_ids=ids).logits
    assert logits.isfinite().all()
    out = tunesmith.export(str(run), {"quantizer": None} if quantizer else None, output_dir=tmp_path / "merged")
    merged, plain = load_plain(out), load_plain(base)
    adapter = tunesmith.open_model(str(run), {"quantizer": None}).load()
    changed = {name for name, weight in merged.named_parameters() if not torch.equal(weight, plain.get_parameter(name))}
    assert {name for name in changed if "experts" in name} == {
        f"model.layers.{layer}.mlp.experts.{name}" for layer in (0, 1) for name in ("gate_up_proj", "down_proj")
    }
    with torch.no_grad():
        expected = adapter.eval()(input_ids=ids).logits
        torch.testing.assert_close(merged.eval()(input_ids=ids).logits, expected, rtol=0, atol=1e-4)
