"""Adapters folded into weights of 16 bits: the sum is float32, rounded once, a layer at a time."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tunesmith import TunesmithError
from tunesmith_library_adapting.merging import merge
from tunesmith_library_testing.parts import load_plain


def adapted(folder: Path) -> Any:
    model = get_peft_model(load_plain(folder, "bfloat16"), LoraConfig(r=4, target_modules=["q_proj", "down_proj"]))
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for name, weight in model.named_parameters():
            if "lora" in name:
                weight.data = torch.randn_like(weight, dtype=torch.float32) * 0.05
    return model


def test_the_sum_is_rounded_once(tiny_llama: Path) -> None:
    model = adapted(tiny_llama)
    layer = model.base_model.model.model.layers[1].self_attn.q_proj
    low = layer.lora_B.default.weight.double() @ layer.lora_A.default.weight.double()
    expected = (layer.base_layer.weight.double() + layer.scaling["default"] * low).bfloat16()
    merged = merge(model)
    assert torch.equal(merged.model.layers[1].self_attn.q_proj.weight, expected)
    assert {weight.dtype for weight in merged.parameters()} == {torch.bfloat16}


def test_a_layer_that_computes_otherwise_afterwards_is_named(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = adapted(tiny_llama)
    kind = type(model.base_model.model.model.layers[1].mlp.down_proj)
    whole = kind.get_delta_weight
    monkeypatch.setattr(kind, "get_delta_weight", lambda self, adapter: whole(self, adapter) * 1.1)
    with pytest.raises(TunesmithError, match=r"layers\.0\.self_attn\.q_proj computes something else afterwards"):
        merge(model)
