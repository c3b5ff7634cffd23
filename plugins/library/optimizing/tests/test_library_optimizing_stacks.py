"""Stacks of matrices: which weights are, how their matrices are seen, and what share an optimizer is said to update."""

import logging

import torch
from peft import LoraConfig, get_peft_model
from tunesmith_library_optimizing.stacks import say_updates, stacked
from tunesmith_library_testing.parts import load_plain


def test_every_matrix_of_experts_is_seen_the_right_way_round(tiny_mixtures) -> None:
    """out × in, told by what the layer computes: its outputs are as many as the rows."""
    for name, expected in (("qwen3_moe", False), ("gpt_oss", True)):
        model = load_plain(tiny_mixtures[name])
        views, experts = stacked(model), model.model.layers[0].mlp.experts
        down = views[id(experts.down_proj)](experts.down_proj)
        assert down.shape[1] == model.config.hidden_size and down.shape[0] == 4
        assert (down.stride(-1) == 1) is not expected
        assert down.data_ptr() == experts.down_proj.data_ptr()
        assert len(views) == 2 * model.config.num_hidden_layers


def test_what_lora_puts_beside_experts(tiny_mixtures) -> None:
    """The product of B and A as they are seen is what peft itself adds to each expert."""
    model = load_plain(tiny_mixtures["qwen3_moe"])
    config = LoraConfig(r=3, lora_alpha=3, target_modules=[], target_parameters=["mlp.experts.down_proj"])
    adapted = get_peft_model(model, config)
    layer = adapted.base_model.model.model.layers[1].mlp.experts
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    torch.nn.init.normal_(b)
    views = stacked(adapted)
    assert views[id(a)](a).shape == (4, 3, 32) and views[id(b)](b).shape == (4, 64, 3)
    torch.testing.assert_close(views[id(b)](b) @ views[id(a)](a), layer.get_delta_weight("default"))


def test_the_share_is_said(tiny_mixtures, caplog) -> None:
    model = load_plain(tiny_mixtures["qwen3_moe"]).requires_grad_(False)
    first = model.model.layers[0].mlp
    for weight in (first.experts.down_proj, first.gate.weight):
        weight.requires_grad_(True)
    with caplog.at_level(logging.INFO, logger="tunesmith"):
        say_updates("mine", model, {id(first.experts.down_proj)}, "turned round")
    assert "mine: 97% of the trained weights, turned round (by AdamW: mlp.gate (3%))" in caplog.text
