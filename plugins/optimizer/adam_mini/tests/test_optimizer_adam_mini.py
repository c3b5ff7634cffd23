"""Adam-mini against the authors' package, and its memory against AdamW's."""

from __future__ import annotations

import copy

import pytest
import torch
from tunesmith.types import OptimizerSettings
from tunesmith_library_testing import OptimizerSuite
from tunesmith_library_testing.parts import StubPlan, load_plain
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_optimizer_adam_mini import AdamMini
from tunesmith_optimizer_adam_mini.blocks import block_size, head_dim_of
from tunesmith_optimizer_adam_mini.optimizer import AdamMiniW


class TestAdamMini(OptimizerSuite):
    plugin = AdamMini
    learning_rate = 3e-3


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_equals_the_authors_package(tmp_path, weight_decay: float) -> None:
    """Five steps of a tiny Qwen2 (with biases) take every weight where the package takes it."""
    import adam_mini as original

    model = load_plain(save_tiny_model(tmp_path / "qwen2", architecture="qwen2"))
    config, twin = model.config, copy.deepcopy(model)
    start = [weight.clone() for weight in model.parameters()]
    settings = OptimizerSettings(1e-2, weight_decay, 0.9, 0.95, 1e-8)
    optimizer = AdamMini().build_optimizer(model=model, settings=settings)
    reference = original.Adam_mini(
        twin.named_parameters(),
        lr=1e-2,
        betas=(0.9, 0.95),
        weight_decay=weight_decay,
        dim=config.hidden_size,
        n_heads=config.num_attention_heads,
        n_kv_heads=config.num_key_value_heads,
        verbose=False,
    )
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        for weight, other in zip(model.parameters(), twin.parameters(), strict=True):
            weight.grad = torch.randn(weight.shape, generator=generator)
            other.grad = weight.grad.clone()
        optimizer.step()
        reference.step()
    for (name, weight), other, before in zip(model.named_parameters(), twin.parameters(), start, strict=True):
        assert (weight - before).abs().max() > 1e-3, name
        torch.testing.assert_close(weight, other, rtol=0, atol=1e-6, msg=name)


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("model.layers.0.self_attn.q_proj.weight", (64, 48), 16 * 48),
        ("model.layers.0.self_attn.q_proj.bias", (64,), 1),
        ("model.layers.0.self_attn.v_proj.weight", (64, 48), 48),
        ("model.layers.0.self_attn.qkv_proj.weight", (192, 48), 48),
        ("base_model.model.layers.0.self_attn.q_proj.lora_A.default.weight", (16, 48), 48),
        ("model.layers.0.mlp.experts.gate_up_proj", (4, 64, 48), 48),
        ("model.embed_tokens.weight", (260, 48), 48),
        ("model.norm.weight", (48,), 48),
    ],
)
def test_blocks(name, shape, expected) -> None:
    assert block_size(name, torch.empty(shape), head_dim=16) == expected


def test_heads_are_those_of_the_configuration(tiny_llama) -> None:
    model = load_plain(tiny_llama)
    assert head_dim_of(model) == 16
    assert head_dim_of(torch.nn.Linear(2, 2)) is None


@pytest.mark.parametrize("shape", [(4096, 4096), (4096, 11008)])
def test_state_is_half_of_adamws(shape) -> None:
    """Over 99.9 % of the second moments are gone (abstract); meta tensors have shapes only."""

    def state_of(optimizer: torch.optim.Optimizer) -> int:
        weight.grad = torch.empty(shape, device="meta")
        optimizer.step()
        held = [value for value in optimizer.state[weight].values() if isinstance(value, torch.Tensor)]
        return sum(value.untyped_storage().nbytes() for value in held if value.device.type == "meta")

    weight = torch.nn.Parameter(torch.empty(shape, device="meta"))
    adam = state_of(torch.optim.AdamW([weight], foreach=False))
    assert adam == 2 * 4 * shape[0] * shape[1]
    group = {"params": [weight], "block_size": block_size("mlp.up_proj.weight", weight, 128), "weight_decay": 0.0}
    mini = state_of(AdamMiniW([group], {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8}))
    assert mini - adam / 2 < 0.001 * adam / 2


def test_sharding_is_reported() -> None:
    (problem,) = AdamMini().check(StubPlan({}, values={"trainer.fsdp": "full_shard"}))
    assert problem.key == "trainer.fsdp" and "cuts them in pieces" in problem.message


@pytest.mark.parametrize("architecture", ["qwen3_moe", "gpt_oss"])
def test_a_block_of_experts_is_a_neuron_of_one_of_them(tiny_mixtures, architecture) -> None:
    """Three steps of a stack against AdamMiniW on each expert's matrix (out, in), whose rows are its neurons."""
    model = load_plain(tiny_mixtures[architecture])
    stack, turned = model.model.layers[0].mlp.experts.down_proj, model.model.layers[0].mlp.experts.is_transposed
    apart = [torch.nn.Parameter((matrix.mT if turned else matrix).detach().clone()) for matrix in stack]
    settings = OptimizerSettings(1e-2, 0.1, 0.9, 0.95, 1e-8)
    optimizer = AdamMini().build_optimizer(model=model, settings=settings)
    defaults = {"lr": 1e-2, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}
    reference = AdamMiniW([{"params": apart, "block_size": 32}], defaults)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        for weight in apart:
            weight.grad = torch.randn(weight.shape, generator=generator)
        made = torch.stack([weight.grad for weight in apart])
        stack.grad = made.mT.contiguous() if turned else made
        optimizer.step()
        reference.step()
    assert optimizer.state[stack]["exp_avg_sq"].numel() == 4 * 64
    torch.testing.assert_close(stack.mT if turned else stack, torch.stack(list(apart)), rtol=0, atol=1e-6)
