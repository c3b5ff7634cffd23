"""Muon against its definition in float64, the rest against AdamW, and both as one optimizer."""

from __future__ import annotations

import copy
import logging
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tunesmith.types import OptimizerSettings
from tunesmith.validate import structured
from tunesmith_library_testing import OptimizerSuite
from tunesmith_library_testing.parts import StubPlan, estimate_of, load_plain
from tunesmith_optimizer_muon import Muon
from tunesmith_optimizer_muon.together import divide


class TestMuon(OptimizerSuite):
    plugin = Muon
    learning_rate = 1e-2


class TestOriginalScaling(OptimizerSuite):
    plugin = Muon
    options = {"scaling": "original", "adamw_learning_rate": 1e-2}
    learning_rate = 2e-2


def orthogonal(momentum: torch.Tensor) -> torch.Tensor:
    """Five Newton-Schulz iterations with Jordan's coefficients, in float64, on the singular values alone.

    X ← a X + b (X Xᵀ) X + c (X Xᵀ)² X keeps the singular vectors and maps a singular value s to a s + b s³ + c s⁵.
    """
    u, s, vh = torch.linalg.svd(momentum.double(), full_matrices=False)
    s = s / s.square().sum().sqrt()
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return u @ torch.diag(s) @ vh


@pytest.mark.parametrize(
    ("scaling", "factor"),
    [
        ("match_rms_adamw", lambda rows, columns: 0.2 * max(rows, columns) ** 0.5),
        ("original", lambda rows, columns: max(1, rows / columns) ** 0.5),
    ],
)
def test_equals_the_definition(tiny_llama, scaling, factor) -> None:
    """Three steps with weight decay: hidden matrices as the papers say (in bfloat16's 8 bits), the others as AdamW."""
    model = load_plain(tiny_llama)
    twin = copy.deepcopy(model)
    settings = OptimizerSettings(1e-2, 0.1, 0.9, 0.999, 1e-8)
    optimizer = Muon(scaling=scaling, adamw_learning_rate=1e-3).build_optimizer(model=model, settings=settings)
    hidden, others = divide(twin)
    matrices, vectors = ([w for w in others if (w.ndim > 1) == matrix] for matrix in (True, False))
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    reference = torch.optim.AdamW(groups, lr=1e-3)
    expected = {id(weight): (weight.detach().double(), torch.zeros_like(weight).double()) for weight in hidden}
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        for weight, other in zip(model.parameters(), twin.parameters(), strict=True):
            weight.grad = torch.randn(weight.shape, generator=generator)
            other.grad = weight.grad.clone()
        optimizer.step()
        reference.step()
        for weight in hidden:
            value, momentum = expected[id(weight)]
            gradient = weight.grad.double()
            momentum = 0.95 * momentum + 0.05 * gradient
            update = orthogonal(0.05 * gradient + 0.95 * momentum) * factor(*weight.shape)
            expected[id(weight)] = (value * (1 - 1e-2 * 0.1) - 1e-2 * update, momentum)
    assert len(hidden) == 14 and len(matrices) == 2 and len(vectors) == 5
    for (name, weight), other in zip(model.named_parameters(), twin.parameters(), strict=True):
        if id(other) in expected:
            moved = (expected[id(other)][0] - other).norm()
            assert (weight - expected[id(other)][0]).norm() < 0.03 * moved, name
        else:
            torch.testing.assert_close(weight, other, rtol=1e-5, atol=1e-6, msg=name)


def test_updates_are_as_long_as_adamws(tiny_llama) -> None:
    """Root mean square 0.2 (arXiv 2502.16982), for every shape."""
    model = load_plain(tiny_llama)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    optimizer = Muon().build_optimizer(model=model, settings=OptimizerSettings(1.0, 0.0, 0.9, 0.999, 1e-8))
    for weight in model.parameters():
        weight.grad = torch.randn_like(weight)
    optimizer.step()
    for name in ("self_attn.q_proj", "self_attn.k_proj", "mlp.up_proj", "mlp.down_proj"):
        weight = model.get_parameter(f"model.layers.0.{name}.weight")
        change = (weight - before[f"model.layers.0.{name}.weight"]).square().mean().sqrt()
        assert change.item() == pytest.approx(0.2, rel=0.25)


def test_state_is_half_of_adamws_in_hidden_matrices(tiny_llama) -> None:
    model = load_plain(tiny_llama)
    optimizer = Muon().build_optimizer(model=model, settings=OptimizerSettings(1e-3, 0.0, 0.9, 0.999, 1e-8))
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    for weight in divide(model)[0]:
        held = [value for value in optimizer.state[weight].values() if isinstance(value, torch.Tensor)]
        assert sum(value.numel() for value in held) == weight.numel()


@pytest.mark.parametrize(
    ("options", "values", "key", "text"),
    [
        ({}, {"trainer.fsdp": "full_shard"}, "trainer.fsdp", "cuts them in pieces"),
    ],
)
def test_conflicts_are_reported(options, values, key, text) -> None:
    (problem,) = Muon(**options).check(StubPlan({}, values=values))
    assert problem.key == key and text in problem.message


@pytest.mark.parametrize(
    "values", [{"momentum": 1.0}, {"ns_steps": 0}, {"ns_steps": 100}, {"adamw_learning_rate": 0.0}]
)
def test_ranges(values) -> None:
    _, problems = structured(Muon, values, ("optimizer",), "optimizer=muon")
    assert [str(problem.key) for problem in problems] == [f"optimizer.{name}" for name in values]


@pytest.mark.parametrize("scaling", ["match_rms_adamw", "original"])
@pytest.mark.parametrize("architecture", ["qwen3_moe", "gpt_oss"])
def test_experts_go_where_torchs_muon_takes_each_of_their_matrices(tiny_mixtures, architecture, scaling) -> None:
    """The reference: torch.optim.Muon on matrices (out, in) of single experts; one of them meets no token at first."""
    model = load_plain(tiny_mixtures[architecture])
    experts = model.model.layers[0].mlp.experts
    turned = experts.is_transposed
    apart = {
        (name, index): torch.nn.Parameter((matrix.mT if turned else matrix).detach().clone())
        for name in ("gate_up_proj", "down_proj")
        for index, matrix in enumerate(getattr(experts, name))
    }
    optimizer = Muon(scaling=scaling).build_optimizer(
        model=model, settings=OptimizerSettings(1e-2, 0.1, 0.9, 0.999, 1e-8)
    )
    reference = torch.optim.Muon(list(apart.values()), lr=1e-2, weight_decay=0.1, adjust_lr_fn=scaling)
    before = {key: weight.detach().clone() for key, weight in apart.items()}
    generator = torch.Generator().manual_seed(0)
    for step in range(3):
        for (name, index), weight in apart.items():
            stack = getattr(experts, name)
            stack.grad = torch.zeros_like(stack) if stack.grad is None else stack.grad
            gradient = torch.randn(weight.shape, generator=generator) * (step > 0 or index != 2)
            weight.grad = gradient
            stack.grad[index] = gradient.mT if turned else gradient
        optimizer.step()
        reference.step()
    for (name, index), weight in apart.items():
        ours = getattr(experts, name)[index]
        moved = (weight - before[name, index]).norm()
        assert ((ours.mT if turned else ours) - weight).norm() < 0.01 * moved, (name, index)


def test_lora_on_experts_is_made_orthogonal_expert_by_expert(tiny_mixtures) -> None:
    """Muon's own definition: singular values of each expert's update near 1, in A and in B."""
    config = LoraConfig(r=4, target_modules=[], target_parameters=["mlp.experts.down_proj"])
    model = get_peft_model(load_plain(tiny_mixtures["qwen3_moe"]), config)
    layer = model.base_model.model.model.layers[0].mlp.experts
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    settings = OptimizerSettings(1.0, 0.0, 0.9, 0.999, 1e-8)
    optimizer = Muon(scaling="original").build_optimizer(model=model, settings=settings)
    before = a.detach().clone(), b.detach().clone()
    for weight in (a, b):
        weight.grad = torch.randn_like(weight)
    optimizer.step()
    of_a = (a - before[0]).unflatten(0, (4, 4))
    of_b = (b - before[1]).unflatten(1, (4, 4)).permute(2, 0, 1)
    for moved, scale in ((of_a, 1.0), (of_b, (64 / 4) ** 0.5)):
        values = torch.linalg.svdvals(moved.detach()) / scale
        assert values.min() > 0.6 and values.max() < 1.3


def test_what_it_remembers_and_which_share_is_its_own(tiny_mixtures, caplog) -> None:
    """The estimate of a whole training against the state after a step; the share in the run as in the plan."""
    model = load_plain(tiny_mixtures["qwen3_moe"])
    before = estimate_of(model)
    trained = replace(before, weights=tuple(replace(weight, trained=True) for weight in before.weights))
    found = Muon().estimate(trained)
    with caplog.at_level(logging.INFO, logger="tunesmith"):
        optimizer = Muon().build_optimizer(model=model, settings=OptimizerSettings(1e-3, 0.0, 0.9, 0.999, 1e-8))
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    held = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, torch.Tensor)]
    expected = sum(value.numel() * value.element_size() for value in held if value.ndim > 0)
    assert found.bytes("step")["optimizer states"] == expected
    own, total = 2 * (12288 + 24576), sum(weight.numel() for weight in model.parameters())
    said = f"{100 * own / total:.0f}% of the trained weights"
    assert f"muon: {said}, 24 matrices made orthogonal (by AdamW: embed_tokens" in caplog.text
    assert found.shares[0].startswith(f"optimizer, muon: {said} (by AdamW: embed_tokens")
