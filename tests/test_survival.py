"""What training does not touch survives: models of each layout, trained, exported and loaded by plain transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

LAYOUTS = ("dense_tied", "dense", "moe", "hybrid", "vision", "vision_hybrid")


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "train.json"
    file.write_text(json.dumps([{"instruction": f"Count {n}", "output": "one " * (1 + n % 5)} for n in range(8)]))
    return file


def held(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def plain(folder: Path) -> Any:
    """A model by transformers alone, as the class that its config.json names."""
    import transformers

    (name,) = json.loads((folder / "config.json").read_text())["architectures"]
    return getattr(transformers, name).from_pretrained(folder, dtype="float32").eval()


def logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model(input_ids=torch.tensor([[7, 11, 13, 17, 19, 23]]), use_cache=False).logits.float()


@pytest.mark.parametrize("adapter", ["full", "lora"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_trained_exported_and_loaded_by_plain_transformers(
    layout: str, adapter: str, chats: Path, tmp_path: Path, tiny_bpe: Any
) -> None:
    import torch
    import tunesmith
    from peft import PeftModel
    from tunesmith_library_testing.tiny import save_published_model

    base = save_published_model(tmp_path / "base", layout, tokenizer=tiny_bpe)
    trainer = {"max_steps": 2, "per_device_train_batch_size": 4, "learning_rate": 1e-2, "save_strategy": "no"}
    config = {
        "model.path": str(base),
        "template": "chatml",
        "data": {"train": [str(chats)], "cache": False},
        "adapter": adapter,
        "precision": "fp32",
        "tracker": ["jsonl"],
        "output_dir": str(tmp_path / "run"),
        "trainer": trainer,
    }
    run = tunesmith.train(None, config)
    exported = tunesmith.export(run)
    before, after = held(base), held(exported)
    assert after.keys() == before.keys()
    assert {name: tensor.dtype for name, tensor in after.items()} == {name: each.dtype for name, each in before.items()}
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and not any("visual" in name or name.startswith("mtp.") for name in changed if layout != "vision")
    said, now = (json.loads((folder / "config.json").read_text()) for folder in (base, exported))
    assert now == said
    files = {file.name for file in base.iterdir() if file.suffix != ".safetensors" and "index" not in file.name}
    assert files <= {file.name for file in exported.iterdir()}
    # the run's folder is a model of its own, or an adapter for the published class
    trained = plain(run) if adapter == "full" else PeftModel.from_pretrained(plain(base), str(run)).eval()
    if adapter == "full":
        assert held(run).keys() == before.keys()
        ends = json.loads((run / "generation_config.json").read_text())["eos_token_id"]
        assert set(ends) == {tiny_bpe.eos_token_id, tiny_bpe.convert_tokens_to_ids("<|im_end|>")}
    difference = (logits(trained) - logits(plain(exported))).abs().max()
    assert 0 < difference < 0.05, "the export is rounded once"
    assert (logits(trained) - logits(plain(base))).abs().max() > 0.05


def test_a_resumed_run_of_experts_is_the_uninterrupted_one(chats: Path, tmp_path: Path, tiny_bpe: Any) -> None:
    """Checkpoints hold experts as the model does; the best one is loaded at the end as well."""
    import torch
    import tunesmith
    from tunesmith_library_testing.tiny import save_published_model

    base = save_published_model(tmp_path / "base", "moe", tokenizer=tiny_bpe)
    trainer = {"per_device_train_batch_size": 4, "learning_rate": 1e-2, "save_steps": 2, "max_steps": 4}
    config = {
        "model.path": str(base),
        "template": "chatml",
        "data": {"train": [str(chats)], "cache": False},
        "adapter": "full",
        "precision": "fp32",
        "tracker": ["jsonl"],
        "trainer": trainer,
    }
    whole = tunesmith.train(None, {**config, "output_dir": str(tmp_path / "whole")})
    expected = held(whole)
    for file in (*whole.glob("*.safetensors"), whole / "config.json"):
        file.unlink()
    shutil.rmtree(whole / "checkpoint-4")
    resumed = held(tunesmith.train(None, {**config, "output_dir": str(whole), "resume": True}))
    assert expected.keys() == resumed.keys()
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in expected.items())
