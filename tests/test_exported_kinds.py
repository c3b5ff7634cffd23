"""Every way of training, over every layout of a base: what is exported is the trained model, tensor by tensor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

LORA = {"name": "lora", "rank": 4}
# Each way at least once, each layout at least once; a new pair costs three seconds. A prefix tells the tensors that the
# base does not have.
CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "rslora": ("dense", {**LORA, "use_rslora": True, "bias": "all"}, ""),
    "dora": ("vision_hybrid", {**LORA, "use_dora": True}, ""),
    "pissa": ("dense_tied", {**LORA, "init": "pissa"}, ""),
    "olora": ("hybrid", {**LORA, "init": "olora"}, ""),
    "eva": ("vision", {**LORA, "init": "eva", "exclude_modules": ["visual"]}, ""),
    "pissa beside experts": ("moe", {**LORA, "init": "pissa", "exclude_modules": ["experts"]}, ""),
    "oft": ("moe", {"name": "oft"}, ""),
    "freeze": ("vision_hybrid", {"name": "freeze", "trainable_layers": 1}, ""),
    "llama_pro": ("vision_hybrid", {"name": "llama_pro", "new_layers": 1}, "model.language_model.layers.2."),
    "llama_pro of experts": ("moe", {"name": "llama_pro", "new_layers": 1}, "model.layers.2."),
    "more tokens": ("dense_tied", {**LORA, "train_tokens": ["<|fresh|>"]}, ""),
    "tied embeddings of their own": ("dense_tied", {**LORA, "target_modules": ["embed_tokens", "q_proj"]}, "lm_head."),
}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory, tiny_bpe: Any) -> dict[str, Path]:
    from tunesmith_library_testing.tiny import save_published_model

    folder = tmp_path_factory.mktemp("bases")
    layouts = sorted({layout for layout, _, _ in CASES.values()})
    return {layout: save_published_model(folder / layout, layout, tokenizer=tiny_bpe) for layout in layouts}


def held(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model(input_ids=torch.tensor([[7, 11, 13, 17, 19, 23]]), use_cache=False).logits.float()


@pytest.mark.parametrize("case", CASES)
def test_what_is_exported_is_what_was_trained(case: str, bases: dict[str, Path], tmp_path: Path) -> None:
    import torch
    import transformers
    import tunesmith

    layout, adapter, new = CASES[case]
    file = tmp_path / "train.json"
    file.write_text(json.dumps([{"instruction": f"Count {n}", "output": "one " * (1 + n % 5)} for n in range(8)]))
    trainer = {"max_steps": 2, "per_device_train_batch_size": 4, "learning_rate": 1e-2, "save_strategy": "no"}
    config = {
        **{"model.path": str(bases[layout]), "template": "chatml", "data": {"train": [str(file)], "cache": False}},
        **{"adapter": adapter, "precision": "fp32", "tracker": ["jsonl"], "output_dir": str(tmp_path / "run")},
        "trainer": trainer,
    }
    run = tunesmith.train(None, config)
    exported = tunesmith.export(run)
    before, after = held(bases[layout]), held(exported)
    added = after.keys() - before.keys()
    assert before.keys() <= after.keys()
    assert all(name.startswith(new) for name in added) and bool(added) is bool(new)
    assert all(after[name].dtype == tensor.dtype for name, tensor in before.items())
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed or new
    assert not any("visual" in name or name.startswith("mtp.") for name in changed)
    (name,) = json.loads((exported / "config.json").read_text())["architectures"]
    plain = getattr(transformers, name).from_pretrained(exported, dtype="float32").eval()
    trained = logits(tunesmith.open_model(run).load().eval())
    assert (trained - logits(plain)).abs().max() < 0.02, "the export is rounded once"
    counts = json.loads((exported / "export_report.json").read_text())["tensors"]
    assert counts["held"] == len(after) and counts["copied"] == len(before) - len(changed)
