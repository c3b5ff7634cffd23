"""Whether an adapter began as its base, asked of models with real adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tunesmith_library_testing.parts import load_plain
from tunesmith_library_weights.switching import adapted_model, begins_as_base, without_dropout


def adapted(folder: Path, dtype: str = "float32", **options: Any) -> Any:
    model = load_plain(folder, dtype=dtype)
    return get_peft_model(model, LoraConfig(**{"r": 4, "target_modules": "all-linear", **options}))


def moved(model: Any) -> Any:
    """An adapter that does something, as if it was trained."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.5)
    return model


class Wrapper(torch.nn.Module):
    """What DDP is to a model."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lora_dropout": 0.5},
        {"use_dora": True},
        {"modules_to_save": ["lm_head"]},
        {"trainable_token_indices": [1, 2]},
        {"dtype": "bfloat16"},
    ],
    ids=["plain", "dropout", "dora", "whole_module", "tokens", "bf16"],
)
def test_a_new_adapter_begins_as_its_base(options: dict[str, Any], tiny_llama: Path) -> None:
    model = adapted(tiny_llama, **options).train()
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert begins_as_base(model)
    assert {name for name, parameter in model.named_parameters() if parameter.requires_grad} == trained
    assert all(module.training for module in model.modules()), "it is left as it was"


def test_one_that_does_something_does_not(tiny_llama: Path) -> None:
    assert not begins_as_base(moved(adapted(tiny_llama)))
    assert not begins_as_base(moved(adapted(tiny_llama, "bfloat16")))
    assert not begins_as_base(adapted(tiny_llama, init_lora_weights="pissa")), "it changes the base"


def test_a_base_whose_biases_are_trained_does_not_stay(tiny_llama: Path) -> None:
    """peft leaves trained biases as they are when the adapter is switched off."""
    model = load_plain(tiny_llama)
    layer = model.model.layers[0].self_attn.q_proj
    layer.bias = torch.nn.Parameter(torch.zeros(layer.out_features))
    assert not begins_as_base(get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"], bias="all")))


def test_a_model_without_adapter_has_nothing_to_switch_off(tiny_llama: Path) -> None:
    model = load_plain(tiny_llama)
    assert adapted_model(model) is None and not begins_as_base(model)
    with_adapter = adapted(tiny_llama)
    assert adapted_model(Wrapper(Wrapper(with_adapter))) is with_adapter
    assert adapted_model(Wrapper(model)) is None


def test_dropout_alone_is_switched_off(tiny_llama: Path) -> None:
    model = adapted(tiny_llama, lora_dropout=0.5).train()
    dropouts = [module for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    with without_dropout(model):
        assert dropouts and not any(layer.training for layer in dropouts) and model.training
    assert all(layer.training for layer in dropouts)
