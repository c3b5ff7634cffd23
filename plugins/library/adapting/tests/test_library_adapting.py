"""Which layers get an adapter, how it is put there and loaded, and when it may be folded into the weights."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig
from tunesmith import TunesmithError
from tunesmith_library_adapting.adapters import adapt, load, read_config, ready_to_train
from tunesmith_library_adapting.merging import merge
from tunesmith_library_adapting.targets import (
    bypassed,
    keeps_tied,
    linear_layers,
    per_layer,
    pick_targets,
    refuse_unknown_modules,
    targeted,
    token_layers,
)
from tunesmith_library_testing.parts import collate, examples, load_plain, logits_of, source_of, train
from tunesmith_library_testing.tiny import save_published_model, save_tiny_model

ATTENTION = ["k_proj", "o_proj", "q_proj", "v_proj"]
MLP = ["down_proj", "gate_proj", "up_proj"]
QUERIES = ["model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"]


class Rounded(torch.nn.Linear):
    """Computes with other numbers than its weight, as quantised layers do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, self.weight.round(decimals=2))


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny") / "qwen2", architecture="qwen2", tie_word_embeddings=True)


def lora(folder: Path, dtype: str = "float32", **options: Any) -> Any:
    torch.manual_seed(0)
    return adapt(load_plain(folder, dtype), LoraConfig(**{"r": 4, "target_modules": ["q_proj"], **options}))


def adapted_layer(model: Any) -> Any:
    return model.get_submodule(f"base_model.model.{QUERIES[1]}")


# ---- targets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ("all", [], sorted(ATTENTION + MLP)),
        ("all", ["mlp"], ATTENTION),
        (["q_proj", "v_proj"], [], ["q_proj", "v_proj"]),
        ("layers.0.mlp", [], [f"model.layers.0.mlp.{name}" for name in MLP]),
        (["all", "lm_head", "embed_tokens"], ["self_attn"], sorted([*MLP, "lm_head", "embed_tokens"])),
    ],
)
def test_targets(tiny_llama: Path, include: Any, exclude: list[str], expected: list[str]) -> None:
    assert pick_targets(load_plain(tiny_llama), include, exclude) == expected


def test_layers_that_only_look_linear_are_found() -> None:
    class Quantised(torch.nn.Module):
        in_features, out_features = 4, 4

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.proj, self.norm, self.head = Quantised(), torch.nn.LayerNorm(4), torch.nn.Linear(4, 9)

        def get_output_embeddings(self) -> torch.nn.Linear:
            return self.head

    assert linear_layers(Model()) == ["proj"]


def test_modules_with_fresh_weights_get_no_adapter(tiny_llama: Path) -> None:
    """They are trained whole."""
    model = load_plain(tiny_llama)
    model.fresh_modules = ["layers.0.mlp"]
    assert "model.layers.0.mlp.up_proj" not in targeted(model, pick_targets(model, "all", []))


def test_layers_whose_weight_is_read_past_an_adapter_are_left_out(tmp_path: Path) -> None:
    """A mixer of state spaces hands `out_proj.weight` to a kernel; in its attention `o_proj` is called."""
    model = load_plain(save_published_model(tmp_path / "model", "hybrid"))
    assert bypassed(model) == {f"model.layers.{number}.mamba.out_proj" for number in (0, 1)}
    picked = pick_targets(model, "all", [])
    assert "out_proj" not in picked and {"in_proj", "o_proj", "down_proj"} <= set(picked)
    adapt(model, LoraConfig(r=2, target_modules=picked))


def test_what_fits_nothing_is_refused(tiny_llama: Path) -> None:
    model = load_plain(tiny_llama)
    with pytest.raises(TunesmithError, match=r"(?s)adapter\.target_modules=q_porj.*did you mean q_proj\?"):
        pick_targets(model, ["q_porj"], [])
    with pytest.raises(TunesmithError, match="leaves no layer to adapt"):
        pick_targets(model, "all", ["layers"])
    with pytest.raises(TunesmithError, match=r"(?s)adapter\.modules_to_save=lm_haed.*did you mean lm_head\?"):
        refuse_unknown_modules("modules_to_save", ["lm_haed"], model)


def test_values_of_single_layers_get_whole_names_and_the_last_counts(tiny_llama: Path) -> None:
    model = load_plain(tiny_llama)
    assert per_layer("rank_pattern", {"q_proj": 2, "layers.1": 3}, ["q_proj"], model) == dict(
        zip(QUERIES, (2, 3), strict=True)
    )
    with pytest.raises(TunesmithError, match=r"adapter\.rank_pattern=k_proj: fits no adapted layer"):
        per_layer("rank_pattern", {"k_proj": 2}, ["q_proj"], model)


def test_layers_with_a_row_per_token(tiny_llama: Path, tied: Path) -> None:
    plain, shared = load_plain(tiny_llama), load_plain(tied)
    assert token_layers(plain) == ["model.embed_tokens", "lm_head"]
    assert token_layers(shared) == ["model.embed_tokens"]
    assert keeps_tied(shared, ["lm_head"]) and keeps_tied(shared, ["embed_tokens"])
    assert not keeps_tied(shared, ["norm"]) and not keeps_tied(plain, ["lm_head"])


# ---- adapters -------------------------------------------------------------------------------------------------------


def test_adapt_train_save_load(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, caplog: Any) -> None:
    """Of a kind that no plugin here has; over a base in bfloat16 the trained weights are float32."""
    caplog.set_level(logging.INFO, "tunesmith")
    config = IA3Config(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"])
    model = ready_to_train(adapt(load_plain(tiny_llama, "bfloat16"), config), "IA³")
    assert {weight.dtype for weight in model.parameters() if weight.requires_grad} == {torch.float32}
    count = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert f"trained: {count:,} of" in caplog.text and "IA³" in caplog.text
    with torch.autocast("cpu", torch.bfloat16):
        losses = train(model, collate(examples(tiny_bpe)), steps=3)
    assert losses[-1] < losses[0]
    model.save_pretrained(tmp_path)
    assert read_config(tmp_path, "IA3", "IA³").peft_type == "IA3"
    served = load(load_plain(tiny_llama, "bfloat16"), tmp_path, source_of(tiny_llama, training=False))
    assert {weight.dtype for weight in served.parameters()} == {torch.bfloat16}


def test_fresh_modules_are_trained_whole(tiny_llama: Path, tmp_path: Path) -> None:
    model = load_plain(tiny_llama)
    model.fresh_modules = ["lm_head"]
    adapted = ready_to_train(adapt(model, LoraConfig(r=4, target_modules=["q_proj"])), "LoRA")
    assert any("lm_head.modules_to_save" in name and p.requires_grad for name, p in adapted.named_parameters())
    lora(tiny_llama).save_pretrained(tmp_path)
    again = load_plain(tiny_llama)
    again.fresh_modules = ["lm_head"]
    with pytest.raises(TunesmithError, match="does not train lm_head, whose weights are fresh"):
        ready_to_train(load(again, tmp_path, source_of(tiny_llama)), "LoRA")


def test_a_folder_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="holds no adapter"):
        read_config(tmp_path, "LORA", "LoRA")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "IA3", "task_type": "CAUSAL_LM"}))
    with pytest.raises(TunesmithError, match="IA3, not LoRA"):
        read_config(tmp_path, "LORA", "LoRA")


def test_what_peft_cannot_adapt_is_our_error(tiny_llama: Path) -> None:
    with pytest.raises(TunesmithError, match="peft cannot adapt this model"):
        lora(tiny_llama, target_modules=["input_layernorm"])


# ---- merging --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lora", "ia3"])
def test_merging_keeps_the_function(tiny_llama: Path, tiny_bpe: Any, kind: str) -> None:
    config: Any = LoraConfig(r=4, target_modules=["q_proj", "down_proj"])
    if kind == "ia3":
        config = IA3Config(target_modules=["q_proj", "down_proj"], feedforward_modules=["down_proj"])
    model = adapt(load_plain(tiny_llama), config)
    train(model, collate(examples(tiny_bpe)), steps=5, learning_rate=5e-2)
    expected = logits_of(model, tiny_bpe)
    assert (expected - logits_of(load_plain(tiny_llama), tiny_bpe)).abs().max() > 1e-3
    torch.testing.assert_close(logits_of(merge(model), tiny_bpe), expected, atol=2e-5, rtol=0)


def test_rows_of_single_tokens_leave_tied_weights_tied(tied: Path, tiny_bpe: Any) -> None:
    model = lora(tied, trainable_token_indices={"embed_tokens": [5, 6]})
    train(model, collate(examples(tiny_bpe)), steps=5)
    expected = logits_of(model, tiny_bpe)
    merged = merge(model)
    assert merged.config.tie_word_embeddings and merged.lm_head.weight is merged.model.embed_tokens.weight
    torch.testing.assert_close(logits_of(merged, tiny_bpe), expected, atol=1e-4, rtol=0)


def test_merging_refuses_layers_that_compute_otherwise(tiny_llama: Path) -> None:
    model = lora(tiny_llama)
    adapted_layer(model).base_layer.__class__ = Rounded
    with pytest.raises(TunesmithError, match=r"(?s)layers\.1\.self_attn\.q_proj is a Rounded.*quantizer=null"):
        merge(model)


def test_merging_refuses_whole_numbers(tiny_llama: Path) -> None:
    model = lora(tiny_llama)
    layer = adapted_layer(model).base_layer
    layer.weight = torch.nn.Parameter(layer.weight.data.to(torch.int8), requires_grad=False)
    with pytest.raises(TunesmithError, match="cannot be merged"):
        merge(model)


def test_merging_refuses_what_is_not_finite(tiny_llama: Path) -> None:
    model = lora(tiny_llama)
    adapted_layer(model).lora_B.default.weight.data.fill_(math.nan)
    with pytest.raises(TunesmithError, match="cannot be merged"):
        merge(model)


def test_a_model_without_adapter_is_merged_already(tiny_llama: Path) -> None:
    model = load_plain(tiny_llama)
    assert merge(model) is model
