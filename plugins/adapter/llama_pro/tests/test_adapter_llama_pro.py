"""Block expansion: the base's function at first, only new layers trained, and a result that transformers loads."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from tunesmith import TunesmithError
from tunesmith.validate import structured
from tunesmith_adapter_llama_pro import LlamaPro
from tunesmith_adapter_llama_pro.expansion import expand, refuse_change, refuse_other_layers
from tunesmith_library_testing import AdapterSuite
from tunesmith_library_testing.parts import StubPlan, collate, examples, load_plain, logits_of, source_of, train

OUTPUTS = LlamaPro().zero_modules


class TestLlamaPro(AdapterSuite):
    plugin = LlamaPro
    options = {"new_layers": 2}
    saves_whole_model = True
    falls_to = 0.95  # one new layer behind each of two random ones, between frozen embeddings and head
    deviations = {"test_merges": "the expanded model has more layers than the base, by design"}

    def test_merges(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """There is nothing to fold in: the trained model is the plain one."""
        model, _ = self.fitted(tiny_llama, tiny_bpe)
        merged = self.manager().hook.merge_adapter(model=model)
        assert merged is model and type(merged) is type(load_plain(tiny_llama))


def adapt(folder: Path, *, dtype: str = "float32", training: bool = True, **options):
    return LlamaPro(**options).apply_adapter(load_plain(folder, dtype), None, source_of(folder, training=training))


COMMON = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
ARCHITECTURES = {
    "llama": COMMON,
    "qwen2": {**COMMON, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 2},
    "gemma2": COMMON,
    "gpt_oss": {**COMMON, "num_local_experts": 2, "num_experts_per_tok": 1, "sliding_window": 4},
    "qwen3_moe": {**COMMON, "num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 16},
    "gpt2": {"vocab_size": 50, "n_embd": 32, "n_layer": 4, "n_head": 2},
    "gpt_neox": COMMON,
    "opt": {**COMMON, "ffn_dim": 32, "word_embed_proj_dim": 32},
    "phi": COMMON,
    "mamba": COMMON,
}


def build(architecture: str, **changes: Any):
    """A random model with layers that matter: no weight is zero, biases included."""
    config = AutoConfig.for_model(architecture, **{**ARCHITECTURES[architecture], **changes})
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("count", [1, 3])
def test_the_expanded_model_is_the_base(architecture: str, count: int, tmp_path: Path) -> None:
    """The same bits: with and without the cache, and loaded again by transformers alone."""
    model = build(architecture)
    ids = torch.randint(3, 50, (2, 12))
    with torch.no_grad():
        expected, cached = model(ids, use_cache=False).logits, model.generate(ids, max_new_tokens=6, do_sample=False)
    path, new = expand(model, count, OUTPUTS)
    refuse_other_layers(model, path)
    refuse_change(model, path, new)
    assert len(model.get_submodule(path)) == model.config.num_hidden_layers == 4 + count
    model.save_pretrained(tmp_path)
    for expanded in (model, AutoModelForCausalLM.from_pretrained(tmp_path).eval()):
        with torch.no_grad():
            assert torch.equal(expanded(ids, use_cache=False).logits, expected)
            assert torch.equal(expanded.generate(ids, max_new_tokens=6, do_sample=False), cached)


@pytest.mark.parametrize(
    ("count", "new"), [(1, [4]), (2, [2, 5]), (3, [1, 4, 6]), (4, [1, 3, 5, 7])], ids=lambda value: str(value)
)
def test_new_layers_are_spread_evenly(count: int, new: list[int]) -> None:
    """After each group of layers, the last after them all; types of layers move with the layers they belong to."""
    model = build("gemma2")
    before, types = list(model.model.layers), list(model.config.layer_types)
    assert expand(model, count, OUTPUTS) == ("model.layers", new)
    layers = model.model.layers
    assert [layer for position, layer in enumerate(layers) if position not in new] == before
    kept = [kind for position, kind in enumerate(model.config.layer_types) if position not in new]
    assert kept == types
    for position in new:
        assert model.config.layer_types[position] == model.config.layer_types[position - 1]
        copied = dict(layers[position - 1].named_parameters())
        for name, parameter in layers[position].named_parameters():
            zero = "o_proj" in name or "down_proj" in name
            assert torch.equal(parameter, torch.zeros_like(parameter) if zero else copied[name]), name
    assert [layer.self_attn.layer_idx for layer in layers] == list(range(4 + count))


def test_only_new_layers_are_trained(tiny_llama: Path, tiny_bpe, tmp_path: Path, caplog) -> None:
    """Over a bfloat16 base; the base's layers are in the result as they were."""
    caplog.set_level(logging.INFO, "tunesmith")
    model = adapt(tiny_llama, dtype="bfloat16", new_layers=1).train()
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, _ in model.named_parameters() if name.startswith("model.layers.2.")}
    assert {parameter.dtype for name, parameter in model.named_parameters() if name in trained} == {torch.float32}
    assert "new layers 2 of 3" in caplog.text
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        losses = train(model, collate(examples(tiny_bpe)))
    assert losses[-1] < losses[0]
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["num_hidden_layers"] == 3
    saved, base = load_plain(tmp_path), load_plain(tiny_llama, "bfloat16").float()
    for name, parameter in base.named_parameters():
        assert torch.equal(saved.get_parameter(name), parameter), name
    assert not torch.equal(logits_of(saved, tiny_bpe), logits_of(base, tiny_bpe))


def test_all_of_a_new_layer_learns(tiny_llama: Path, tiny_bpe) -> None:
    """The zero projections get gradients at once, the rest of the layer as soon as they are no longer zero."""
    model = adapt(tiny_llama, new_layers=1)
    before = {name: p.clone() for name, p in model.named_parameters() if p.requires_grad}
    train(model, collate(examples(tiny_bpe)), steps=3)
    assert all(not torch.equal(model.get_parameter(name), value) for name, value in before.items())


@pytest.mark.parametrize(
    ("architecture", "changes", "difference"),
    [
        ("qwen3_moe", {"decoder_sparse_step": 2}, r"mlp\."),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, r"attn\.scaling"),
    ],
)
def test_kinds_that_depend_on_the_position_are_refused(architecture: str, changes, difference: str) -> None:
    model = build(architecture, **changes)
    path, _ = expand(model, 2, OUTPUTS)
    with pytest.raises(TunesmithError, match=rf"(?s)cannot expand this .*first difference: {difference}"):
        refuse_other_layers(model, path)


def test_layers_that_change_what_they_get_are_refused(tiny_llama: Path) -> None:
    with pytest.raises(TunesmithError, match=r"(?s)new layer 1 .* changes what it gets.*there is: .*down_proj"):
        adapt(tiny_llama, new_layers=2, zero_modules=["o_proj"])
    with pytest.raises(TunesmithError, match=r"(?s)zero_modules=\['wo'\]: fits nothing.*there is: .*o_proj"):
        adapt(tiny_llama, new_layers=2, zero_modules=["wo"])


def test_what_cannot_be_seen_is_said(tiny_llama: Path, caplog) -> None:
    model = load_plain(tiny_llama)
    path, new = expand(model, 1, ["o_proj"])
    model.model.layers[0].register_forward_pre_hook(_only_on_a_gpu)
    refuse_change(model, path, new)
    assert "is not checked: FlashAttention only supports CUDA" in caplog.text


def _only_on_a_gpu(module: Any, given: Any) -> None:
    raise RuntimeError("FlashAttention only supports CUDA")


def test_more_layers_than_the_model_has(tiny_llama: Path) -> None:
    with pytest.raises(TunesmithError, match=r"(?s)new_layers=3: this model has 2 layers.*possible: 1 to 2"):
        adapt(tiny_llama, new_layers=3)


def test_what_cannot_be_trained(tiny_llama: Path, tmp_path: Path) -> None:
    model = load_plain(tiny_llama)
    with pytest.raises(TunesmithError, match="adapter=llama_pro keeps no weights of its own"):
        LlamaPro().apply_adapter(model, tmp_path, source_of(tiny_llama))
    weight = model.model.layers[0].mlp.up_proj.weight
    model.model.layers[0].mlp.up_proj.weight = torch.nn.Parameter(weight.data.to(torch.int8), requires_grad=False)
    with pytest.raises(TunesmithError, match="adapter=llama_pro cannot train a quantised model"):
        LlamaPro(new_layers=1).apply_adapter(model, None, source_of(tiny_llama))


def test_a_model_to_be_served_is_left_as_it_is(tiny_llama: Path) -> None:
    assert adapt(tiny_llama, training=False).config.num_hidden_layers == 2


@pytest.mark.slow
def test_a_run_is_resumed_chatted_with_and_exported(tiny_llama: Path, tmp_path: Path) -> None:
    """A resumed run expands the base again and takes the layers of its checkpoint."""
    import tunesmith

    pytest.importorskip("tunesmith_trainer_transformers")
    (tmp_path / "train.json").write_text(json.dumps([{"instruction": "Who are you?", "output": "A tiny model."}] * 4))
    config = {
        "model": {"path": str(tiny_llama)},
        "template": "chatml",
        "data": {"train": [str(tmp_path / "train.json")], "cache_dir": str(tmp_path / "cache")},
        "adapter": {"name": "llama_pro", "new_layers": 2},
        "precision": "fp32",
        "output_dir": str(tmp_path / "run"),
        "trainer": {"max_steps": 3, "learning_rate": 1e-2, "save_steps": 2},
    }
    run = tunesmith.train(config)
    first = load_plain(run)
    (run / "model.safetensors").unlink()
    tunesmith.train(config, {"resume": True})
    again = load_plain(run)
    assert all(torch.equal(p, again.get_parameter(name)) for name, p in first.named_parameters())
    assert again.config.num_hidden_layers == 4
    conversations = [[{"role": "user", "content": "Who are you?"}]]
    here = tunesmith.chat(run, conversations, ["engine.temperature=0", "engine.max_new_tokens=5"])
    merged = tunesmith.export(run, output_dir=tmp_path / "merged")
    options = {"model.path": str(merged), "precision": "fp32", "engine.temperature": 0, "engine.max_new_tokens": 5}
    assert tunesmith.chat(None, conversations, options) == here


@pytest.mark.parametrize(
    ("options", "plugins", "key"),
    [
        ({}, {}, None),
        ({}, {"quantizer": {"hqq": None}}, "adapter.name"),
        ({"zero_modules": []}, {}, "adapter.zero_modules"),
    ],
)
def test_check(options, plugins, key) -> None:
    llama_pro = LlamaPro(**options)
    problems = llama_pro.check(StubPlan({"adapter": {"llama_pro": llama_pro}, **plugins}))
    assert [problem.key for problem in problems] == ([key] if key else [])


def test_ranges() -> None:
    _, problems = structured(LlamaPro, {"new_layers": 0}, ("adapter",), "adapter=llama_pro")
    assert [str(problem.key) for problem in problems] == ["adapter.new_layers"]
