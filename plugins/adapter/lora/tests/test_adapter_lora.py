"""LoRA: what is adapted, what is trained, and that saving, loading and merging keep the function."""

import copy
import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
from tunesmith import TunesmithError
from tunesmith.traits import QuantizerTraits
from tunesmith.validate import structured
from tunesmith_adapter_lora import Lora
from tunesmith_library_adapting.targets import linear_layers
from tunesmith_library_testing import AdapterSuite
from tunesmith_library_testing.parts import StubPlan, collate, examples, load_plain, logits_of, source_of, train
from tunesmith_library_testing.tiny import save_tiny_model


class TestLora(AdapterSuite):
    plugin = Lora


class TestDora(AdapterSuite):
    plugin = Lora
    options = {"use_dora": True, "use_rslora": True, "rank": 4}


class TestSavedModules(AdapterSuite):
    plugin = Lora
    options = {"modules_to_save": ["embed_tokens", "lm_head"], "target_modules": ["self_attn"]}


class TestPissa(AdapterSuite):
    plugin = Lora
    options = {"init": "pissa"}


class Rounded(torch.nn.Linear):
    """Computes with other numbers than its weight, as quantised layers do."""

    def forward(self, x):
        return torch.nn.functional.linear(x, self.weight.round(decimals=2))


@pytest.fixture(scope="module")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny") / "qwen2", architecture="qwen2", tie_word_embeddings=True)


def adapt(folder: Path, *, trained: Path | None = None, training: bool = True, dtype: str = "float32", **options):
    torch.manual_seed(0)
    source = source_of(folder, training=training)
    return Lora(**options).apply_adapter(load_plain(folder, dtype), trained, source)


def difference(one, other, tokenizer) -> float:
    return (logits_of(one, tokenizer) - logits_of(other, tokenizer)).abs().max().item()


def test_targets_become_the_layers_that_peft_adapts(tiny_llama: Path) -> None:
    model = adapt(tiny_llama, target_modules=["layers.1.self_attn"], exclude_modules=["o_proj"])
    adapted = {name.split(".lora_A")[0] for name, _ in model.named_parameters() if ".lora_A" in name}
    assert adapted == {f"base_model.model.model.layers.1.self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj")}


@pytest.mark.parametrize("option", ["target_modules", "exclude_modules", "modules_to_save"])
def test_unknown_layers_are_named_with_the_nearest(tiny_llama: Path, option: str) -> None:
    with pytest.raises(TunesmithError, match=rf"(?s)adapter\.{option}=q_porj.*k_proj.*did you mean q_proj\?"):
        adapt(tiny_llama, **{option: ["q_porj"]})


def test_nothing_left_to_adapt(tiny_llama: Path) -> None:
    with pytest.raises(TunesmithError, match="leaves no layer"):
        adapt(tiny_llama, exclude_modules=["layers"])


@pytest.mark.parametrize(
    ("options", "scale"),
    [({"rank": 4}, 2), ({"rank": 4, "alpha": 4}, 1), ({"rank": 16, "alpha": 8, "use_rslora": True}, 8 / math.sqrt(16))],
)
def test_the_function_is_the_formula(tiny_llama: Path, options, scale) -> None:
    """y = W x + scale · B A x, in float64 on one layer."""
    model = adapt(tiny_llama, target_modules=["q_proj"], init=False, **options)
    layer = model.get_submodule("base_model.model.model.layers.0.self_attn.q_proj").double()
    weight, a, b = layer.base_layer.weight, layer.lora_A["default"].weight, layer.lora_B["default"].weight
    assert b.abs().max() > 0
    x = torch.randn(5, 64, dtype=torch.float64)
    torch.testing.assert_close(layer(x), x @ weight.T + scale * (x @ a.T) @ b.T)


@pytest.mark.parametrize("architecture", ["tiny_llama", "qwen2"])
@pytest.mark.parametrize("init", [True, "gaussian", "orthogonal", "pissa", "olora"])
def test_peft_alone_loads_what_was_saved(request, tiny_bpe, tmp_path: Path, architecture: str, init) -> None:
    """The independent reference: peft, without this plugin, computes the same from the saved folder."""
    folder = request.getfixturevalue(architecture)
    model = adapt(folder, init=init)
    train(model, collate(examples(tiny_bpe)), steps=5)
    assert difference(model, load_plain(folder), tiny_bpe) > 1e-2
    model.save_pretrained(tmp_path)
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), tmp_path)
    assert difference(model, theirs, tiny_bpe) < 1e-5
    ours = adapt(folder, trained=tmp_path, training=False)
    assert difference(model, ours, tiny_bpe) < 1e-5
    merged = Lora().merge_adapter(copy.deepcopy(model))
    assert difference(model, merged, tiny_bpe) < 1e-4


def test_a_served_adapter_takes_the_numbers_of_its_base(tiny_llama: Path, tmp_path: Path) -> None:
    adapt(tiny_llama).save_pretrained(tmp_path)
    served = adapt(tiny_llama, trained=tmp_path, training=False, dtype="bfloat16")
    assert {parameter.dtype for parameter in served.parameters()} == {torch.bfloat16}


def test_modules_trained_whole_over_a_bfloat16_base(tiny_llama: Path, tiny_bpe, tmp_path: Path) -> None:
    """Float32 embeddings and head between bfloat16 layers train under autocast, and are served in bfloat16."""
    options = {"modules_to_save": ["embed_tokens", "lm_head"]}
    model = adapt(tiny_llama, dtype="bfloat16", **options).train()
    batch = collate(examples(tiny_bpe))
    with torch.autocast("cpu", torch.bfloat16):
        losses = train(model, batch, steps=5)
    assert losses[-1] < losses[0]
    model.save_pretrained(tmp_path)
    served = adapt(tiny_llama, trained=tmp_path, training=False, dtype="bfloat16")
    assert {parameter.dtype for parameter in served.parameters()} == {torch.bfloat16}
    saved = model.get_submodule("base_model.model.lm_head.modules_to_save.default").weight.bfloat16()
    assert torch.equal(served.get_submodule("base_model.model.lm_head.modules_to_save.default").weight, saved)


@pytest.mark.parametrize("modules", [["lm_head"], ["embed_tokens"], ["embed_tokens", "lm_head"]])
def test_tied_weights_that_are_trained_whole_stay_tied(qwen2: Path, tiny_bpe, tmp_path: Path, modules) -> None:
    model = adapt(qwen2, modules_to_save=modules)
    train(model, collate(examples(tiny_bpe)), steps=5)
    expected = logits_of(model, tiny_bpe)
    model.save_pretrained(tmp_path / "adapter")
    again = adapt(qwen2, trained=tmp_path / "adapter", training=False)
    torch.testing.assert_close(logits_of(again, tiny_bpe), expected, atol=1e-5, rtol=0)
    merged = Lora().merge_adapter(model)
    assert merged.config.tie_word_embeddings and merged.lm_head.weight is merged.model.embed_tokens.weight
    merged.save_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits_of(load_plain(tmp_path / "merged"), tiny_bpe), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("targets", [["lm_head"], ["embed_tokens"], ["all", "embed_tokens", "lm_head"]])
def test_tied_weights_with_adapters_are_merged_apart(qwen2: Path, tiny_bpe, tmp_path: Path, targets) -> None:
    """Added to the one tensor that both use, either adapter would change the other layer too."""
    model = adapt(qwen2, target_modules=targets)
    train(model, collate(examples(tiny_bpe)), steps=5)
    expected = logits_of(model, tiny_bpe)
    merged = Lora().merge_adapter(model)
    torch.testing.assert_close(logits_of(merged, tiny_bpe), expected, atol=1e-4, rtol=0)
    merged.save_pretrained(tmp_path)
    assert not merged.config.tie_word_embeddings
    torch.testing.assert_close(logits_of(load_plain(tmp_path), tiny_bpe), expected, atol=1e-4, rtol=0)


def test_layers_that_round_as_quantised_ones_do_are_trained_over(tiny_llama: Path, tiny_bpe) -> None:
    """A layer class of a quantizer's own that derives from nn.Linear is adapted like any other."""
    model = load_plain(tiny_llama)
    for name in linear_layers(model):
        model.get_submodule(name).__class__ = Rounded
    adapted = Lora().apply_adapter(model, None, source_of(tiny_llama))
    losses = train(adapted, collate(examples(tiny_bpe)), steps=10)
    assert losses[-1] < 0.9 * losses[0]


def test_continuing_starts_at_the_adapter(tiny_llama: Path, tiny_bpe, tmp_path: Path, caplog) -> None:
    former = adapt(tiny_llama, rank=4, target_modules=["q_proj"])
    train(former, collate(examples(tiny_bpe)), steps=3)
    former.save_pretrained(tmp_path)
    caplog.set_level(logging.INFO, "tunesmith")
    model = adapt(tiny_llama, path=str(tmp_path))
    assert "rank 4, alpha 8" in caplog.text
    assert difference(model, former, tiny_bpe) == 0
    losses = train(model, collate(examples(tiny_bpe)), steps=3)
    assert losses[-1] < losses[0]


def test_continuing_refuses_another_rank(tiny_llama: Path, tmp_path: Path) -> None:
    adapt(tiny_llama, rank=4).save_pretrained(tmp_path)
    with pytest.raises(TunesmithError, match=r"(?s)adapter\.rank=16.*has 4.*leave adapter\.path out"):
        adapt(tiny_llama, path=str(tmp_path), rank=16)


def test_loading_says_what_the_folder_holds(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="holds no adapter"):
        adapt(tiny_llama, trained=tmp_path)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "IA3", "task_type": "CAUSAL_LM"}))
    with pytest.raises(TunesmithError, match="IA3, not LoRA"):
        adapt(tiny_llama, trained=tmp_path)


def test_the_share_of_trained_weights_is_announced(tiny_llama: Path, caplog) -> None:
    caplog.set_level(logging.INFO, "tunesmith")
    adapt(tiny_llama, rank=2, target_modules=["q_proj"])
    trained = 2 * 2 * (64 + 64)  # layers × rank × (in + out)
    total = sum(parameter.numel() for parameter in load_plain(tiny_llama).parameters()) + trained
    assert f"trained: {trained} of {total:,} parameters ({trained / total:.2%})" in caplog.text


def test_checkpointing_needs_no_gradient_at_the_frozen_embeddings(tiny_llama: Path, tiny_bpe) -> None:
    """With the non-reentrant kind, switched on after the adapter, the gradients are the same."""
    batch = collate(examples(tiny_bpe))
    inputs = {name: value for name, value in batch.items() if name != "num_items"}
    gradients = []
    for checkpointing in (False, True):
        model = adapt(tiny_llama, init=False).train()
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model(**inputs, use_cache=False).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.requires_grad})
    assert len(gradients[0]) == 2 * 7 * 2
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


@dataclass
class Able:
    """Some quantizer that says what it can do."""

    traits: QuantizerTraits


@pytest.mark.parametrize(
    ("options", "quantizer", "key"),
    [
        ({}, {}, None),
        ({"init": "orthogonal", "rank": 3}, {}, "adapter.init"),
        ({"init": "pissa"}, {"hqq": None}, "adapter.init"),
        ({"init": "pissa"}, {}, None),
        ({"use_dora": True}, {"some": None}, "adapter.use_dora"),
        ({"use_dora": True}, {"some": Able(QuantizerTraits(weight_norms=True))}, None),
        ({"init": "orthogonal"}, {"some": None}, "adapter.init"),
        ({"init": "orthogonal"}, {"some": Able(QuantizerTraits(float_weights=True))}, None),
        ({"path": "no/such/folder"}, {}, "adapter.path"),
        ({"path": "org/adapter"}, {}, None),
        ({"path": ["org/one", "org/two"]}, {}, None),
        ({"path": ["org/one", "org/two"]}, {"hqq": None}, "adapter.path"),
        ({"path": "org/one", "restart": True}, {"hqq": None}, "adapter.path"),
        ({"path": "org/one"}, {"hqq": None}, None),
        ({"restart": True}, {}, "adapter.restart"),
        ({"pissa_iterations": 4}, {}, "adapter.pissa_iterations"),
        ({"init": "pissa", "pissa_iterations": 4}, {}, None),
    ],
)
def test_check(options, quantizer, key) -> None:
    lora = Lora(**options)
    problems = lora.check(StubPlan({"adapter": {"lora": lora}, "quantizer": quantizer}))
    assert [problem.key for problem in problems] == ([key] if key else [])


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"rank": 0}, "adapter.rank"),
        ({"alpha": 0}, "adapter.alpha"),
        ({"dropout": 1.0}, "adapter.dropout"),
        ({"rank_pattern": {"q_proj": 0}}, "adapter.rank_pattern.q_proj"),
        ({"pissa_iterations": -1}, "adapter.pissa_iterations"),
    ],
)
def test_ranges(values, key) -> None:
    _, problems = structured(Lora, values, ("adapter",), "adapter=lora")
    assert [str(problem.key) for problem in problems] == [key]
