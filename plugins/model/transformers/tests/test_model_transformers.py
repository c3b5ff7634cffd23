"""Loading tokenizers and weights, precision, and what is refused before that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith.keys import Key, Origin
from tunesmith.types import ModelSource
from tunesmith_library_testing import ModelSuite
from tunesmith_library_testing.parts import StubPlan
from tunesmith_model_transformers import Transformers


class TestTransformers(ModelSuite):
    plugin = Transformers


def source(folder: Path, *, precision: str = "fp32", seed: int = 3) -> ModelSource:
    return ModelSource(path=folder, address=str(folder), precision=precision, seed=seed, training=True)


def load(folder: Path) -> Any:
    return Transformers(path="x").load_model(source=source(folder), processor=small_tokenizer(), quantization=None)


@pytest.mark.parametrize("precision, dtype", [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_weights_come_in_the_precision(precision: str, dtype: torch.dtype, tiny_llama: Path) -> None:
    model = Transformers(path="x").load_model(
        source=source(tiny_llama, precision=precision), processor=small_tokenizer(), quantization=None
    )
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}


def small_tokenizer() -> list[int]:
    """Stands for a tokenizer of which only the length matters."""
    return [0]


def test_embeddings_grow_with_the_tokenizer(tiny_llama: Path) -> None:
    plugin = Transformers(path=str(tiny_llama))
    tokenizer = plugin.load_processor(source=source(tiny_llama))
    before = len(tokenizer)
    tokenizer.add_tokens(["<new>", "<newer>"])
    model = plugin.load_model(source=source(tiny_llama), processor=tokenizer, quantization=None)
    assert model.get_input_embeddings().weight.shape[0] == before + 2
    small = plugin.load_model(source=source(tiny_llama), processor=small_tokenizer(), quantization=None)
    assert small.get_input_embeddings().weight.shape[0] == before


def test_random_weights_follow_the_seed(tiny_llama: Path) -> None:
    plugin = Transformers(path=str(tiny_llama), initialize="random")
    weights = [
        plugin.load_model(
            source=source(tiny_llama, seed=seed), processor=small_tokenizer(), quantization=None
        ).lm_head.weight
        for seed in (1, 1, 2)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], load(tiny_llama).lm_head.weight)


def test_pad_token_is_set(tiny_llama: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    assert Transformers(path="x").load_processor(source=source(tmp_path)).pad_token == "</s>"


def test_saved_model_does_not_name_our_attention(tiny_llama: Path, tmp_path: Path) -> None:
    load(tiny_llama).save_pretrained(tmp_path)
    assert "per_sequence" not in (tmp_path / "config.json").read_text()


def test_missing_tokenizer_and_model_are_explained(tmp_path: Path, tiny_llama: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(TunesmithError, match=r"no tokenizer here(.|\n)*notes\.txt"):
        Transformers(path="x").load_processor(source=source(tmp_path))
    with pytest.raises(TunesmithError, match="cannot load this model"):
        Transformers(path="x").load_model(source=source(tmp_path), processor=small_tokenizer(), quantization=None)


def plan(quantizer: str | None = None, **values: Any) -> StubPlan:
    return StubPlan({"quantizer": {quantizer: None}} if quantizer else {}, values=values)


@pytest.mark.parametrize(
    ("processes", "training", "quantised", "expected"),
    [
        (1, True, False, None),
        (1, True, True, {"": 0}),
        (1, False, False, "auto"),
        (2, True, False, None),
        (2, True, True, {"": 1}),
        (2, False, False, {"": 1}),
        (2, False, True, {"": 1}),
    ],
)
def test_each_process_keeps_to_its_own_device(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch, processes: int, training: bool, quantised: bool, expected: Any
) -> None:
    """A model that is not trained is spread over all devices, unless other processes have theirs."""
    from tunesmith_model_transformers import loading

    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    monkeypatch.setenv("LOCAL_RANK", str(processes - 1))
    asked: dict[str, Any] = {}

    class Loader:
        @staticmethod
        def from_pretrained(path: Path, **options: Any) -> Any:
            asked.update(options)
            raise ValueError("asked for enough")

    monkeypatch.setattr(loading, "_loader", lambda config, processor: Loader)
    asking = ModelSource(tiny_llama, "x", "fp32", 0, training)
    with pytest.raises(TunesmithError, match="asked for enough"):
        Transformers(path="x", attention="sdpa").load_model(
            source=asking, processor=small_tokenizer(), quantization=quantised or None
        )
    assert asked["device_map"] == expected


def test_check(tmp_path: Path) -> None:
    (tmp_path / "qwen3-4b").mkdir()
    [problem] = Transformers(path=str(tmp_path / "qwen3-4B")).check(plan=plan())
    assert problem.key == "model.path" and "did you mean qwen3-4b" in problem.advice
    assert Transformers(path="Qwen/Qwen3-4B").check(plan=plan()) == []
    [problem] = Transformers(path=str(tmp_path / "qwen3-4b")).check(plan=plan())
    assert "holds no config.json, so no model" in problem.message
    (tmp_path / "qwen3-4b" / "config.json").write_text("{}")
    assert Transformers(path=str(tmp_path / "qwen3-4b")).check(plan=plan()) == []
    asked = StubPlan({}, command="chat")
    object.__setattr__(asked, "origins", {Key("model", "path"): Origin(str(tmp_path / "qwen3-4b" / "run.yaml"), 7)})
    assert Transformers(path=str(tmp_path / "gone")).check(plan=asked) == [], "a run with its whole model needs no base"
    flash = Transformers(path="Qwen/Qwen3-4B", attention="flash_attention_3").check(plan=plan(precision="fp32"))
    assert [problem.key for problem in flash] == ["model.attention", "model.attention"]
    [problem] = Transformers(path="a/b", initialize="random").check(plan=plan(quantizer="hqq"))
    assert problem.key == "model.initialize"
