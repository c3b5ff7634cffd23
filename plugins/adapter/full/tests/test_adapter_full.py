"""Full fine-tuning: which weights are trained, and in which numbers."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith_adapter_full import Full
from tunesmith_library_testing import AdapterSuite
from tunesmith_library_testing.parts import StubPlan, collate, examples, load_plain, source_of, train


class TestFull(AdapterSuite):
    plugin = Full
    trains_everything = True
    learning_rate = 1e-3


def adapt(folder: Path, *, dtype: str = "bfloat16", training: bool = True, **options):
    return Full(**options).apply_adapter(load_plain(folder, dtype), None, source_of(folder, training=training))


def test_frozen_weights_keep_their_numbers_and_values(tiny_llama: Path, tiny_bpe, caplog) -> None:
    caplog.set_level(logging.INFO, "tunesmith")
    model = adapt(tiny_llama, freeze=["embed_tokens", "layers.0"]).train()
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {n for n, _ in model.named_parameters() if "embed_tokens" in n or ".layers.0." in n}
    for name, parameter in model.named_parameters():
        assert parameter.dtype == (torch.bfloat16 if name in frozen else torch.float32), name
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    with torch.autocast("cpu", torch.bfloat16):
        train(model, collate(examples(tiny_bpe)), steps=3, learning_rate=1e-3)
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed == set(before) - frozen
    trained = sum(parameter.numel() for name, parameter in model.named_parameters() if name not in frozen)
    assert f"trained: {trained:,} of" in caplog.text and "all but embed_tokens, layers.0" in caplog.text


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_dtype(tiny_llama: Path, dtype: str) -> None:
    model = Full(dtype=dtype).apply_adapter(load_plain(tiny_llama, "bfloat16"), None, source_of(tiny_llama))
    assert {(parameter.dtype, parameter.requires_grad) for parameter in model.parameters()} == {(torch.bfloat16, True)}


def test_tied_weights_stay_one(tmp_path: Path) -> None:
    from tunesmith_library_testing.tiny import save_tiny_model

    folder = save_tiny_model(tmp_path / "tied", architecture="qwen2", tie_word_embeddings=True)
    model = adapt(folder)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.lm_head.weight.dtype == torch.float32


def test_a_model_to_be_served_is_left_as_it_is(tiny_llama: Path) -> None:
    assert {parameter.dtype for parameter in adapt(tiny_llama, training=False).parameters()} == {torch.bfloat16}


def test_unknown_parameters_are_named_with_the_nearest(tiny_llama: Path) -> None:
    with pytest.raises(TunesmithError, match=r"(?s)adapter\.freeze=embed_token:.*did you mean embed_tokens\?"):
        adapt(tiny_llama, freeze=["embed_token"])


def test_freezing_everything_is_refused(tiny_llama: Path) -> None:
    with pytest.raises(TunesmithError, match="nothing is left to train"):
        adapt(tiny_llama, freeze=["*"])


def test_an_adapter_cannot_be_loaded(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="use adapter=lora"):
        Full().apply_adapter(load_plain(tiny_llama), tmp_path, source_of(tiny_llama))


def test_a_quantised_model_is_refused(tiny_llama: Path) -> None:
    model = load_plain(tiny_llama)
    weight = model.model.layers[0].mlp.up_proj.weight
    model.model.layers[0].mlp.up_proj.weight = torch.nn.Parameter(weight.data.to(torch.int8), requires_grad=False)
    with pytest.raises(TunesmithError, match=r"up_proj\.weight holds whole numbers"):
        Full().apply_adapter(model, None, source_of(tiny_llama))
    named = load_plain(tiny_llama)
    named.config.quantization_config = SimpleNamespace(bits=4)
    with pytest.raises(TunesmithError, match="quantization_config"):
        Full().apply_adapter(named, None, source_of(tiny_llama))


def test_check() -> None:
    full = Full()
    problems = full.check(StubPlan({"adapter": {"full": full}, "quantizer": {"hqq": None}}))
    assert [problem.key for problem in problems] == ["adapter.name"] and "quantizer=null" in problems[0].advice
    assert full.check(StubPlan({"adapter": {"full": full}})) == []


def test_of_a_model_that_also_sees_the_named_parts_are_trained(tmp_path: Path, caplog) -> None:
    from transformers import AutoModelForImageTextToText
    from tunesmith_library_testing.seeing import save_seeing_model

    caplog.set_level(logging.INFO, "tunesmith")
    folder = save_seeing_model(tmp_path / "qwen2_vl", "qwen2_vl")
    places = {"language": ("model.language_model.", "lm_head."), "projector": "model.visual.merger."}
    places["vision"] = ("model.visual.patch_embed.", "model.visual.blocks.")
    for towers in (["language"], ["projector"], ["tower", "projector"]):
        loaded = AutoModelForImageTextToText.from_pretrained(folder)
        model = Full(towers=towers).apply_adapter(loaded, None, source_of(folder))
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        parts = [places["vision" if part == "tower" else part] for part in towers]
        assert trained == {name for name, _ in model.named_parameters() if any(map(name.startswith, parts))}, towers
    assert "parts trained: language frozen, projector 100%, vision 100%" in caplog.text
    with pytest.raises(TunesmithError, match=r"audio: this model has no such part"):
        Full(towers=["audio"]).apply_adapter(model, None, source_of(folder))
    with pytest.raises(TunesmithError, match=r"freezes every parameter of projector"):
        Full(towers=["language", "projector"], freeze=["merger"]).apply_adapter(model, None, source_of(folder))


def test_no_part_at_all_is_a_problem() -> None:
    assert [problem.key for problem in Full(towers=[]).check(StubPlan({}, command="train"))] == ["adapter.towers"]
