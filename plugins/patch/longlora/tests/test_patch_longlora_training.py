"""A run with shifted attention: trained on long texts, saved, exported, and evaluated with full attention."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith_library_testing.parts import load_plain, logged
from tunesmith_library_testing.tiny import save_tiny_model

TRAINED = ["embed_tokens", "norm", "input_layernorm", "post_attention_layernorm", "lm_head"]


def configuration(folder: Path, **changes: Any) -> dict[str, Any]:
    """A run of 24 steps over texts of eight groups, longer than the model read before."""
    rows = [{"instruction": f"Count to {n}. " * 6, "output": "One, two, three. " * 8} for n in range(10)]
    (folder / "train.json").write_text(json.dumps(rows))
    return {
        "model": {"path": str(save_tiny_model(folder / "base", max_position_embeddings=32))},
        "template": "chatml",
        "data": {"train": [str(folder / "train.json")], "val_size": 2, "cache": False},
        "stage": {"name": "sft", "max_length": 128},
        "adapter": {"name": "lora", "rank": 8, "modules_to_save": TRAINED},
        "patch": {"longlora": {"group_size_ratio": 0.125}, "rope_scaling": {"type": "linear"}},
        "precision": "fp32",
        "tracker": ["jsonl"],
        "output_dir": str(folder / "out"),
        "trainer": {
            "max_steps": 24,
            "per_device_train_batch_size": 4,
            "learning_rate": 1e-2,
            "logging_steps": 1,
            "save_strategy": "no",
            "eval_strategy": "steps",
            "eval_steps": 24,
        },
        **changes,
    }


@pytest.mark.parametrize("padding_free", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_run_from_training_to_the_exported_model(
    padding_free: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss falls; evaluation is that of the plain model with full attention, and so is what was exported."""
    import tunesmith
    from tunesmith_patch_longlora import attention

    grouped: list[int] = []
    whole = attention.cut
    monkeypatch.setattr(
        attention, "cut", lambda lengths, size, shift: grouped.append(size) or whole(lengths, size, shift)
    )
    config = configuration(tmp_path)
    config["trainer"]["padding_free"] = padding_free
    run = tunesmith.train(config)
    assert set(grouped) == {16}, "training did not attend in groups"
    curve = logged(run, "loss")
    assert len(curve) >= 20 and curve[-1] < 0.5 * curve[0]
    assert logged(run, "eval_loss")[-1] < 0.5 * curve[0]

    grouped.clear()
    served = tunesmith.ChatSession(run)._handle.load().eval()
    exported = load_plain(tunesmith.export(run, output_dir=tmp_path / "merged"))
    assert not grouped
    assert exported.config.rope_parameters["rope_type"] == "linear"
    _, data = tunesmith.show(run)
    (held_out,) = data.eval.values()
    losses, items = [], 0
    for index in range(len(held_out)):
        ids, labels = (torch.as_tensor(held_out[index][name])[None] for name in ("input_ids", "labels"))
        with torch.no_grad():
            ours, theirs = (model(input_ids=ids, use_cache=False).logits for model in (served, exported))
        torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=1e-4)
        losses.append(torch.nn.functional.cross_entropy(ours[0, :-1], labels[0, 1:], reduction="sum").item())
        items += int((labels[0, 1:] != -100).sum())
    assert sum(losses) / items == pytest.approx(logged(run, "eval_loss")[-1], rel=1e-4)
