"""Runs with scaled embeddings: trained, saved, exported, loaded; and what the scaling is good for."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith_library_testing.parts import load_plain, logged, logits_of
from tunesmith_library_testing.tiny import save_tiny_model

VOCABULARY = 24


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama that reads 32 tokens."""
    return save_tiny_model(tmp_path_factory.mktemp("base") / "llama", max_position_embeddings=32)


def configuration(folder: Path, model: Path, **changes: Any) -> dict[str, Any]:
    """A run of 24 steps over conversations that are longer than the model reads."""
    rows = [{"instruction": f"Count to {n}. " * 6, "output": "One, two, three. " * 8} for n in range(8)]
    (folder / "train.json").write_text(json.dumps(rows))
    return {
        "model": {"path": str(model)},
        "template": "chatml",
        "data": {"train": [str(folder / "train.json")], "cache": False},
        "stage": {"name": "sft", "max_length": 128},
        "patch": {"rope_scaling": {"type": "yarn"}},
        "precision": "fp32",
        "tracker": ["jsonl"],
        "output_dir": str(folder / "out"),
        "trainer": {
            "max_steps": 24,
            "per_device_train_batch_size": 4,
            "learning_rate": 1e-2,
            "logging_steps": 1,
            "save_strategy": "no",
        },
        **changes,
    }


def opened(run: Path) -> Any:
    """The model of a run, as `chat` loads it."""
    import tunesmith

    return tunesmith.ChatSession(run)._handle.load().eval()


ADAPTERS: dict[str, Any] = {
    "lora": {"name": "lora", "rank": 8, "modules_to_save": ["lm_head"]},
    "full": "full",
}


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_run_from_training_to_the_exported_model(adapter: str, base: Path, tmp_path: Path, tiny_bpe: Any) -> None:
    """The loss falls; chat and the exported model have the scaling, the latter by transformers alone."""
    import tunesmith

    run = tunesmith.train(configuration(tmp_path, base, adapter=ADAPTERS[adapter]))
    curve = logged(run)
    assert len(curve) >= 20 and curve[-1] < 0.5 * curve[0]
    served = opened(run)
    scaling = served.config.get_text_config().rope_parameters
    assert (scaling["rope_type"], scaling["factor"]) == ("yarn", 4.0)

    exported = tunesmith.export(run, output_dir=tmp_path / "merged")
    config = json.loads((exported / "config.json").read_text())
    assert config["rope_parameters"] == {
        "rope_type": "yarn",
        "rope_theta": 10000.0,
        "factor": 4.0,
        "original_max_position_embeddings": 32,
    }
    assert config["max_position_embeddings"] == 128
    ids = (torch.arange(120) * 5 % 300)[None]
    with torch.no_grad():
        ours, theirs, again = (
            model(input_ids=ids, use_cache=False).logits for model in (served, load_plain(exported), opened(run))
        )
    assert torch.equal(ours, again)
    torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=1e-4)
    if adapter == "full":
        assert "yarn" in (run / "config.json").read_text()
        with torch.no_grad():
            assert torch.equal(load_plain(run)(input_ids=ids, use_cache=False).logits, theirs)
    assert not torch.equal(logits_of(load_plain(base), tiny_bpe), logits_of(served, tiny_bpe))


@pytest.mark.slow
def test_a_quantised_base(base: Path, tmp_path: Path) -> None:
    """Layers of four bits around new embeddings: learned, and loaded to the same numbers."""
    pytest.importorskip("tunesmith_quantizer_bitsandbytes")
    import tunesmith

    config = configuration(tmp_path, base, quantizer="bitsandbytes", adapter=ADAPTERS["lora"])
    run = tunesmith.train(config)
    curve = logged(run)
    assert curve[-1] < 0.5 * curve[0]
    ids = (torch.arange(120) * 5 % 300)[None]
    with torch.no_grad():
        first, second = (opened(run)(input_ids=ids, use_cache=False).logits for _ in range(2))
    assert torch.equal(first, second)
    merged = load_plain(tunesmith.export(run, {"quantizer": None}, output_dir=tmp_path / "merged"))
    assert merged.config.rope_parameters["factor"] == 4.0


def copies(number: int, length: int, seed: int) -> torch.Tensor:
    """Random tokens, and then the same again: (number, length); the second half asks for attention far back."""
    half = torch.randint(VOCABULARY, (number, length // 2), generator=torch.Generator().manual_seed(seed))
    return torch.cat([half, half], dim=1)


def loss_of(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """The mean cross entropy of the second half."""
    half = ids.shape[1] // 2
    logits = model(input_ids=ids, use_cache=False).logits[:, half:-1]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, half + 1 :].flatten())


def fit(model: Any, batches: list[torch.Tensor], learning_rate: float) -> float:
    """Train on the batches, and give the loss on long texts that it has not seen."""
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate)
    for ids in batches:
        optimizer.zero_grad()
        loss_of(model, ids).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        return loss_of(model, copies(16, 128, seed=9)).item()


@pytest.mark.slow
def test_twenty_steps_reach_further_with_scaling_than_without() -> None:
    """A model that learned to copy within 32 tokens copies within 128; guessing is ln 24 = 3.18."""
    from transformers import LlamaConfig, LlamaForCausalLM
    from tunesmith_patch_rope_scaling.parameters import Scaling
    from tunesmith_patch_rope_scaling.rebuilding import stretch

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=32,
    )
    pretrained = LlamaForCausalLM(config)
    fit(pretrained, [copies(64, 8 + 2 * (step * 7 % 13), seed=100 + step) for step in range(400)], 3e-3)
    with torch.no_grad():
        assert loss_of(pretrained, copies(16, 24, seed=8)) < 2 < 3.2 < loss_of(pretrained, copies(16, 128, seed=9))

    reached = {}
    for kind in (None, "linear", "yarn", "llama3"):
        model = copy.deepcopy(pretrained)
        if kind:
            options = {"low_freq_factor": 1.0, "high_freq_factor": 4.0} if kind == "llama3" else {}
            stretch(model, Scaling(kind, target=128, options=options))
        reached[kind] = fit(model, [copies(16, 128, seed=1000 + step) for step in range(20)], 1e-3)
    assert all(loss < reached[None] - 0.2 for kind, loss in reached.items() if kind), reached
