"""Partial fine-tuning: which weights are trained, in which numbers, and that a run's folder is a whole model."""

import json
import logging
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from tunesmith import TunesmithError
from tunesmith_adapter_freeze import Freeze
from tunesmith_library_testing import AdapterSuite
from tunesmith_library_testing.parts import StubPlan, collate, examples, load_plain, logits_of, source_of, train
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_library_weights.layers import find_layers


class TestFreeze(AdapterSuite):
    plugin = Freeze
    options = {"trainable_layers": 1, "extra_modules": ["lm_head"]}
    saves_whole_model = True


class TestFirstLayers(AdapterSuite):
    plugin = Freeze
    options = {"trainable_layers": -1, "trainable_modules": ["mlp"]}
    saves_whole_model = True


def adapt(folder: Path, *, training: bool = True, **options):
    return Freeze(**options).apply_adapter(load_plain(folder, "bfloat16"), None, source_of(folder, training=training))


def trained_names(model) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["model.layers.0.", "model.layers.1."]),
        ({"trainable_layers": 1}, ["model.layers.1."]),
        ({"trainable_layers": -1}, ["model.layers.0."]),
        ({"trainable_layers": -2}, ["model.layers.0.", "model.layers.1."]),
        ({"trainable_layers": 1, "trainable_modules": ["self_attn.q_*"]}, ["model.layers.1.self_attn.q_proj."]),
        ({"trainable_layers": 0, "extra_modules": ["lm_head", "norm"]}, ["lm_head.", "model.norm."]),
        ({"trainable_layers": 1, "extra_modules": ["model.norm"]}, ["model.layers.1.", "model.norm."]),
    ],
)
def test_what_is_trained(tiny_llama: Path, options, expected) -> None:
    """The norms inside the layers are not `extra_modules=[norm]`."""
    model = adapt(tiny_llama, **options)
    assert trained_names(model) == {n for n, _ in model.named_parameters() if n.startswith(tuple(expected))}


def test_only_what_is_trained_changes_and_is_float32(tiny_llama: Path, tiny_bpe, tmp_path: Path, caplog) -> None:
    """Over a bfloat16 base, under autocast; the saved file holds both kinds, and its config.json says the base's."""
    caplog.set_level(logging.INFO, "tunesmith")
    model = adapt(tiny_llama, trainable_layers=1, extra_modules=["lm_head"]).train()
    trained = trained_names(model)
    for name, parameter in model.named_parameters():
        assert parameter.dtype == (torch.float32 if name in trained else torch.bfloat16), name
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):  # one region around all steps
        losses = train(model, collate(examples(tiny_bpe)), steps=20)
    assert losses[-1] < 0.5 * losses[0]
    assert {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])} == trained
    sizes = [parameter.numel() for name, parameter in model.named_parameters() if name in trained]
    assert f"trained: {sum(sizes):,} of" in caplog.text and "layers 1-1 of 0-1, lm_head" in caplog.text
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    again = load_plain(tmp_path)
    for name, parameter in model.named_parameters():
        assert torch.equal(again.get_parameter(name), parameter.float()), name


def test_gradients_are_those_of_full_fine_tuning(tiny_llama: Path, tiny_bpe) -> None:
    """The reference: plain torch with all weights trained gives the same gradients for the layers in question."""
    inputs = {name: value for name, value in collate(examples(tiny_bpe)).items() if name != "num_items"}
    gradients = []
    for frozen in (False, True):
        model = load_plain(tiny_llama)
        if frozen:
            model = Freeze(trainable_layers=-1).apply_adapter(model, None, source_of(tiny_llama))
        model(**inputs, use_cache=False).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[1].keys() == {name for name in gradients[0] if ".layers.0." in name}
    for name, gradient in gradients[1].items():
        torch.testing.assert_close(gradient, gradients[0][name])


@pytest.mark.parametrize("named", ["lm_head", "embed_tokens"])
def test_naming_one_of_two_tied_weights_trains_both(tmp_path: Path, tiny_bpe, named: str) -> None:
    folder = save_tiny_model(tmp_path / "tied", architecture="qwen2", tie_word_embeddings=True)
    model = adapt(folder, trainable_layers=0, extra_modules=[named])
    assert trained_names(model) == {"model.embed_tokens.weight"}
    assert model.lm_head.weight is model.model.embed_tokens.weight
    train(model.float(), collate(examples(tiny_bpe)), steps=2)
    expected = logits_of(model, tiny_bpe)
    model.save_pretrained(tmp_path / "saved")
    assert torch.equal(logits_of(load_plain(tmp_path / "saved"), tiny_bpe), expected)


SIZES = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 3}
HEADS = {"num_attention_heads": 2, "num_key_value_heads": 1, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
GPT2 = {"n_embd": 32, "n_layer": 3, "n_head": 2, "vocab_size": 50}


@pytest.mark.parametrize(
    ("architecture", "config", "path"),
    [
        ("gpt2", GPT2, "transformer.h"),
        ("gpt_neox", SIZES, "gpt_neox.layers"),
        ("opt", {**SIZES, "ffn_dim": 32, "word_embed_proj_dim": 32}, "model.decoder.layers"),
        ("mamba", SIZES, "backbone.layers"),
        ("qwen3_moe", {**SIZES, "num_experts": 3}, "model.layers"),
    ],
)
def test_layers_of_other_architectures(architecture: str, config, path: str) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(architecture, **config, **HEADS))
    found, layers = find_layers(model)
    assert found == path and len(layers) == 3 and model.get_submodule(path) is layers


def test_the_layers_of_a_model_that_reads_images_are_its_texts() -> None:
    from transformers import AutoModelForImageTextToText

    vision = {"depth": 3, "embed_dim": 32, "hidden_size": 32, "num_heads": 2}
    config = AutoConfig.for_model("qwen2_vl", text_config={**SIZES, **HEADS}, vision_config=vision)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    assert find_layers(model)[0] == "model.language_model.layers"


def test_layers_that_are_not_found(tiny_llama: Path) -> None:
    model = load_plain(tiny_llama)
    model.config.num_hidden_layers = 5
    with pytest.raises(TunesmithError, match=r"(?s)says 5\..*lengths: 2.*adapter=full"):
        find_layers(model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trainable_layers": 3}, r"(?s)trainable_layers=3: this model has 2 layers.*-2 to 2"),
        ({"trainable_layers": -3}, r"trainable_layers=-3: this model has 2 layers"),
        ({"trainable_modules": ["mpl"]}, r"(?s)trainable_modules=mpl: fits no trained layer.*did you mean mlp\?"),
        ({"extra_modules": ["lm_haed"]}, r"(?s)extra_modules=lm_haed: fits no module outside.*did you mean lm_head\?"),
        ({"extra_modules": ["q_proj"]}, "extra_modules=q_proj: fits no module outside the layers"),
    ],
)
def test_what_the_model_does_not_have(tiny_llama: Path, options, message: str) -> None:
    with pytest.raises(TunesmithError, match=message):
        adapt(tiny_llama, **options)


def test_what_cannot_be_trained(tiny_llama: Path, tmp_path: Path) -> None:
    model = load_plain(tiny_llama)
    with pytest.raises(TunesmithError, match="adapter=freeze keeps no weights of its own"):
        Freeze().apply_adapter(model, tmp_path, source_of(tiny_llama))
    weight = model.model.layers[0].mlp.up_proj.weight
    model.model.layers[0].mlp.up_proj.weight = torch.nn.Parameter(weight.data.to(torch.int8), requires_grad=False)
    with pytest.raises(TunesmithError, match="adapter=freeze cannot train a quantised model"):
        Freeze().apply_adapter(model, None, source_of(tiny_llama))


def test_a_model_to_be_served_is_left_as_it_is(tiny_llama: Path) -> None:
    assert {parameter.dtype for parameter in adapt(tiny_llama, training=False).parameters()} == {torch.bfloat16}


@pytest.mark.slow
def test_a_run_is_chatted_with_and_exported(tiny_llama: Path, tmp_path: Path) -> None:
    """The whole road: what a run saved is a model, which chat and export take."""
    import tunesmith

    pytest.importorskip("tunesmith_trainer_transformers")
    (tmp_path / "train.json").write_text(json.dumps([{"instruction": "Who are you?", "output": "A tiny model."}] * 4))
    run = tunesmith.train(
        {
            "model": {"path": str(tiny_llama)},
            "template": "chatml",
            "data": {"train": [str(tmp_path / "train.json")], "cache_dir": str(tmp_path / "cache")},
            "adapter": {"name": "freeze", "trainable_layers": 1, "extra_modules": ["lm_head"]},
            "precision": "fp32",
            "output_dir": str(tmp_path / "run"),
            "trainer": {"max_steps": 40, "learning_rate": 1e-2, "save_strategy": "no"},
        }
    )
    assert (run / "config.json").is_file() and not (run / "adapter_config.json").exists()
    (answer,) = tunesmith.chat(run, [[{"role": "user", "content": "Who are you?"}]], ["engine.temperature=0"])
    assert answer == "A tiny model."
    merged = tunesmith.export(run, output_dir=tmp_path / "merged")
    one, other = load_plain(run), load_plain(merged)
    assert all(torch.equal(p, other.get_parameter(name)) for name, p in one.named_parameters())


@pytest.mark.parametrize(
    ("options", "plugins", "key"),
    [
        ({}, {}, None),
        ({}, {"quantizer": {"hqq": None}}, "adapter.name"),
        ({"trainable_layers": 0}, {}, "adapter.trainable_layers"),
        ({"trainable_layers": 0, "extra_modules": ["lm_head"]}, {}, None),
    ],
)
def test_check(options, plugins, key) -> None:
    freeze = Freeze(**options)
    problems = freeze.check(StubPlan({"adapter": {"freeze": freeze}, **plugins}))
    assert [problem.key for problem in problems] == ([key] if key else [])


def test_of_a_model_that_also_sees_whole_parts_are_trained_beside_layers(tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText
    from tunesmith_library_testing.seeing import save_seeing_model

    folder = save_seeing_model(tmp_path / "qwen2_vl", "qwen2_vl")
    last, merger = "model.language_model.layers.1.", "model.visual.merger."
    for towers, expected in (
        (["language"], (last,)),
        (["language", "projector"], (last, merger)),
        (["tower"], ("model.visual.blocks.", "model.visual.patch_embed.")),
    ):
        loaded = AutoModelForImageTextToText.from_pretrained(folder)
        model = Freeze(trainable_layers=1, towers=towers).apply_adapter(loaded, None, source_of(folder))
        assert trained_names(model) == {name for name, _ in model.named_parameters() if name.startswith(expected)}
    problems = Freeze(towers=["projector"], trainable_modules=["mlp"]).check(StubPlan({}, command="train"))
    assert [problem.key for problem in problems] == ["adapter.trainable_modules"]
