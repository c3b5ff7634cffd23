"""OFT: that layers are rotated, by orthogonal matrices, and that saving, loading and merging keep the function."""

import json
import logging
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from tunesmith import TunesmithError
from tunesmith.validate import structured
from tunesmith_adapter_oft import Oft
from tunesmith_library_testing import AdapterSuite
from tunesmith_library_testing.parts import (
    StubPlan,
    collate,
    estimate_of,
    examples,
    load_plain,
    logits_of,
    source_of,
    train,
)
from tunesmith_library_testing.tiny import save_tiny_model


class TestOft(AdapterSuite):
    plugin = Oft
    falls_to = 0.92  # rotations of a random model's layers between frozen embeddings and head


class TestExact(AdapterSuite):
    plugin = Oft
    options = {"cayley_neumann": False, "rank": 4, "modules_to_save": ["lm_head"]}


class TestShared(AdapterSuite):
    plugin = Oft
    options = {"block_size": 16, "block_share": True, "target_modules": ["all", "lm_head"]}
    falls_to = 0.95


class TestConstrained(AdapterSuite):
    plugin = Oft
    options = {"constrained": True, "eps": 2.0, "block_size": 64}
    falls_to = 0.99


class Rounded(torch.nn.Linear):
    """Computes with other numbers than its weight, as quantised layers do."""

    def forward(self, x):
        return torch.nn.functional.linear(x, self.weight.round(decimals=2))


def adapt(folder: Path, trained: Path | None = None, *, training: bool = True, dtype: str = "float32", **options):
    torch.manual_seed(0)
    return Oft(**options).apply_adapter(load_plain(folder, dtype), trained, source_of(folder, training=training))


def difference(one, other, tokenizer) -> float:
    return (logits_of(one, tokenizer) - logits_of(other, tokenizer)).abs().max().item()


def rotation(vectors: torch.Tensor, size: int) -> torch.Tensor:
    """The block-diagonal matrix of Cayley transforms of skew-symmetric matrices, given above their diagonals."""
    blocks = []
    for vector in vectors:
        q = torch.zeros(size, size, dtype=torch.float64)
        q[tuple(torch.triu_indices(size, size, 1))] = vector.double()
        q = q - q.T
        eye = torch.eye(size, dtype=torch.float64)
        blocks.append((eye - q) @ torch.linalg.inv(eye + q))
    return torch.block_diag(*blocks)


def randomize(model, scale: float):
    for name, parameter in model.named_parameters():
        if "oft_R" in name:
            torch.nn.init.normal_(parameter, std=scale)
    return model


def test_the_function_is_the_formula(tiny_llama: Path) -> None:
    """y = W R x in float64 on one layer, R orthogonal by construction."""
    model = randomize(adapt(tiny_llama, block_size=16, cayley_neumann=False, target_modules=["q_proj"]), 0.3)
    layer = model.get_submodule("base_model.model.model.layers.0.self_attn.q_proj").double()
    r = rotation(layer.oft_R["default"].weight.detach(), 16)
    torch.testing.assert_close(r @ r.T, torch.eye(64, dtype=torch.float64))
    x = torch.randn(5, 64, dtype=torch.float64)
    torch.testing.assert_close(layer(x), x @ r @ layer.base_layer.weight.T, atol=1e-6, rtol=1e-6)


def test_the_series_approaches_the_exact_rotation(tiny_llama: Path) -> None:
    """peft's series takes the other sign of Q; it is near the rotation while Q is small, nearer with more terms."""
    errors = []
    for terms in (3, 5, 9):
        model = randomize(adapt(tiny_llama, target_modules=["q_proj"], cayley_neumann_terms=terms), 0.02)
        layer = model.get_submodule("base_model.model.model.layers.0.self_attn.q_proj").double()
        r = rotation(-layer.oft_R["default"].weight.detach(), 32)
        x = torch.randn(5, 64, dtype=torch.float64)
        errors.append((layer(x) - x @ r @ layer.base_layer.weight.T).abs().max().item())
    assert errors[0] > 3 * errors[1] > 9 * errors[2] and errors[1] < 1e-3, errors


def test_merging_keeps_the_singular_values(tiny_llama: Path, tiny_bpe) -> None:
    """What sets rotations apart from sums: W R has the singular values and the norms of W."""
    model = adapt(tiny_llama, cayley_neumann=False)
    losses = train(model, collate(examples(tiny_bpe)))
    assert losses[-1] < 0.9 * losses[0]
    merged, plain = Oft().merge_adapter(model), load_plain(tiny_llama)
    for layer in ("self_attn.q_proj", "mlp.down_proj"):
        one, other = (m.model.layers[1].get_submodule(layer).weight.double() for m in (merged, plain))
        assert (one - other).abs().max() > 1e-2
        torch.testing.assert_close(torch.linalg.svdvals(one), torch.linalg.svdvals(other), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(one.norm(dim=1), other.norm(dim=1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"rank": 8, "cayley_neumann": False}, {"modules_to_save": ["embed_tokens"]}])
def test_peft_alone_loads_what_was_saved(tiny_llama: Path, tiny_bpe, tmp_path: Path, options) -> None:
    model = adapt(tiny_llama, **options)
    train(model, collate(examples(tiny_bpe)), steps=5)
    assert difference(model, load_plain(tiny_llama), tiny_bpe) > 1e-2
    model.save_pretrained(tmp_path)
    theirs = PeftModel.from_pretrained(load_plain(tiny_llama), tmp_path)
    assert difference(model, theirs, tiny_bpe) == 0


def test_only_the_chosen_layers_are_rotated(tiny_llama: Path, caplog) -> None:
    caplog.set_level(logging.INFO, "tunesmith")
    model = adapt(tiny_llama, target_modules=["layers.1.self_attn"], exclude_modules=["o_proj"], block_size=8)
    trained = {name: parameter.numel() for name, parameter in model.named_parameters() if parameter.requires_grad}
    layers = {f"base_model.model.model.layers.1.self_attn.{name}" for name in ("q_proj", "k_proj", "v_proj")}
    assert {name.split(".oft_R")[0] for name in trained} == layers
    assert set(trained.values()) == {64 // 8 * (8 * 7 // 2)}
    assert f"trained: {3 * 224} of" in caplog.text and "OFT in blocks of 8" in caplog.text


def test_layers_that_peft_cannot_rotate(tmp_path: Path) -> None:
    """GPT-2's Conv1D."""
    config = {"n_embd": 64, "n_layer": 2, "n_head": 2, "n_inner": 128, "n_positions": 128}
    folder = save_tiny_model(tmp_path / "gpt2", architecture="gpt2", **config)
    with pytest.raises(TunesmithError, match=r"cannot adapt this model: .*Conv1D.* is not supported"):
        adapt(folder)


def test_a_bfloat16_base_under_autocast(tiny_llama: Path, tiny_bpe, tmp_path: Path) -> None:
    model = adapt(tiny_llama, dtype="bfloat16").train()
    assert {weight.dtype for weight in model.parameters() if weight.requires_grad} == {torch.float32}
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        losses = train(model, collate(examples(tiny_bpe)))
    assert losses[-1] < 0.95 * losses[0]
    model.save_pretrained(tmp_path)
    served = adapt(tiny_llama, tmp_path, training=False, dtype="bfloat16")
    assert {parameter.dtype for parameter in served.parameters()} == {torch.bfloat16}


def test_layers_that_round_as_quantised_ones_do(tiny_llama: Path, tiny_bpe) -> None:
    """They are trained over, and not merged."""
    model = load_plain(tiny_llama)
    for layer in model.model.layers:
        layer.self_attn.q_proj.__class__ = Rounded
    adapted = Oft(target_modules=["q_proj", "up_proj"]).apply_adapter(model, None, source_of(tiny_llama))
    losses = train(adapted, collate(examples(tiny_bpe)), steps=5)
    assert losses[-1] < losses[0]
    with pytest.raises(TunesmithError, match=r"(?s)q_proj is a Rounded.*quantizer=null"):
        Oft().merge_adapter(adapted)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block_size": 48}, r"(?s)block_size=48: \S*q_proj has 64 inputs.*possible near it: 8, 16, 32, 64"),
        ({"rank": 12}, r"(?s)rank=12: \S*q_proj has 64 inputs.*possible near it: 2, 4, 8, 16"),
        ({"target_modules": ["q_porj"]}, r"(?s)adapter\.target_modules=q_porj.*did you mean q_proj\?"),
        ({"modules_to_save": ["lm_haed"]}, r"(?s)adapter\.modules_to_save=lm_haed.*did you mean lm_head\?"),
    ],
)
def test_what_the_model_does_not_have(tiny_llama: Path, options, message: str) -> None:
    with pytest.raises(TunesmithError, match=message):
        adapt(tiny_llama, **options)


def test_loading_says_what_the_folder_holds(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="holds no adapter"):
        adapt(tiny_llama, tmp_path)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "task_type": "CAUSAL_LM"}))
    with pytest.raises(TunesmithError, match="LORA, not OFT"):
        adapt(tiny_llama, tmp_path)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({}, None),
        ({"rank": 4}, None),
        ({"rank": 4, "block_size": 32}, "adapter.rank"),
    ],
)
def test_check(options, key) -> None:
    oft = Oft(**options)
    problems = oft.check(StubPlan({"adapter": {"oft": oft}}))
    assert [problem.key for problem in problems] == ([key] if key else [])


@pytest.mark.parametrize("values", [{"rank": 0}, {"block_size": 1}, {"cayley_neumann_terms": 1}, {"eps": 0.0}])
def test_ranges(values) -> None:
    _, problems = structured(Oft, values, ("adapter",), "adapter=oft")
    assert [str(problem.key) for problem in problems] == [f"adapter.{name}" for name in values]


def test_fused_experts_are_left_out_and_said(tiny_mixtures, caplog) -> None:
    """Asked for by name they are refused; a plan says the same share as the run."""
    folder = tiny_mixtures["qwen3_moe"]
    with caplog.at_level(logging.INFO, logger="tunesmith"):
        model = Oft(block_size=8).apply_adapter(load_plain(folder), None, source_of(folder))
    assert not any("experts" in name for name, weight in model.named_parameters() if weight.requires_grad)
    share = 100 * 2 * 12288 / (64 * model.config.vocab_size + 2 * (12288 + 24576 + 256))
    said = f"{share:.0f}% of the weights (not: mlp.experts.gate_up_proj"
    assert f"adapted: {said}" in caplog.text
    (planned,) = Oft(block_size=8).estimate(estimate_of(load_plain(folder))).shares
    assert planned.startswith(f"adapter, OFT: {said}")
    with pytest.raises(TunesmithError, match=r"target_modules=down_proj: adapter=oft adapts linear layers"):
        Oft(target_modules=["q_proj", "down_proj"]).apply_adapter(load_plain(folder), None, source_of(folder))


def trained_adapter(folder: Path, model: Path, seed: int, **options) -> torch.Tensor:
    """Save a rotation of a model, and give its logits."""
    adapted = adapt(model, target_modules=["q_proj", "down_proj"], **options)
    torch.manual_seed(seed)
    randomize(adapted, 0.05)
    adapted.save_pretrained(folder)
    return adapted


def test_goes_on_with_an_adapter(tiny_llama: Path, tiny_bpe, tmp_path: Path) -> None:
    """What peft's own loading of the folder computes, all of it trained; its blocks hold."""
    made = trained_adapter(tmp_path, tiny_llama, 1, block_size=16)
    followed = adapt(tiny_llama, path=str(tmp_path))
    torch.testing.assert_close(logits_of(followed, tiny_bpe), logits_of(made, tiny_bpe))
    names = {name for name, weight in followed.named_parameters() if weight.requires_grad}
    assert names == {name for name, weight in made.named_parameters() if weight.requires_grad}
    with pytest.raises(TunesmithError, match=r"adapter\.block_size=32: the adapter to go on with has 16"):
        adapt(tiny_llama, path=str(tmp_path), block_size=32)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    with pytest.raises(TunesmithError, match="of type LORA, not OFT"):
        adapt(tiny_llama, path=str(tmp_path))


@pytest.mark.parametrize("restart", [False, True])
def test_earlier_adapters_become_part_of_the_base(restart: bool, tiny_llama: Path, tiny_bpe, tmp_path: Path) -> None:
    """Of several all but the last are merged in their order, as peft alone merges them; with `restart` all."""
    places = [tmp_path / name for name in ("one", "two")]
    for seed, place in enumerate(places):
        trained_adapter(place, tiny_llama, seed)
    model = load_plain(tiny_llama)
    for place in places:
        model = PeftModel.from_pretrained(model, str(place)).merge_and_unload()
    found = adapt(tiny_llama, path=[str(place) for place in places], restart=restart)
    torch.testing.assert_close(logits_of(found, tiny_bpe), logits_of(model, tiny_bpe), atol=1e-4, rtol=1e-4)


def test_check_of_paths(tmp_path: Path) -> None:
    plan = StubPlan({})
    assert [problem.key for problem in Oft(path=str(tmp_path)).check(plan)] == ["adapter.path"]
    assert [problem.key for problem in Oft(restart=True).check(plan)] == ["adapter.restart"]
    assert [item.name for item in Oft(path=["org/a", "org/b"]).requires()] == ["org/a", "org/b"]
