"""APOLLO against apollo-torch, and its memory against the paper's."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from tunesmith.traits import AdapterTraits
from tunesmith.types import OptimizerSettings
from tunesmith.validate import structured
from tunesmith_library_testing import OptimizerSuite
from tunesmith_library_testing.parts import StubPlan, collate, examples, load_plain, mean_loss
from tunesmith_optimizer_apollo import Apollo, ApolloMini
from tunesmith_optimizer_apollo.optimizer import ApolloAdamW, limit_growth, random_projection, seed_of

ADAM = {"lr": 1e-2, "betas": (0.9, 0.999), "eps": 1e-12, "weight_decay": 0.0}

BESIDE = SimpleNamespace(traits=AdapterTraits(beside=True))


class TestApollo(OptimizerSuite):
    plugin = Apollo
    options = {"rank": 8, "update_proj_gap": 2}
    learning_rate = 1e-2


class TestApolloMini(OptimizerSuite):
    plugin = ApolloMini
    learning_rate = 1e-2


@pytest.mark.parametrize(
    "projection",
    [
        {"rank": 6, "scale": 1.0, "scale_type": "channel"},
        {"rank": 1, "scale": 128.0, "scale_type": "tensor"},
        {"rank": 6, "scale": 32.0, "scale_type": "channel", "proj": "svd"},
        {"rank": 6, "scale": 32.0, "scale_type": "channel", "scale_front": True},
    ],
    ids=["apollo", "mini", "svd", "front"],
)
@pytest.mark.parametrize("shape", [(24, 10), (10, 24)])
def test_equals_apollo_torch(shape, projection, monkeypatch) -> None:
    """Eight steps, over three projections and with the norm limiter at work, end where the authors' package ends."""
    import apollo_torch as original
    from apollo_torch import random_projector

    monkeypatch.setattr(random_projector, "next_seed", lambda seed: seed + seed_of(0, 1))
    group = {**projection, "update_proj_gap": 3}
    theirs, mine = (torch.nn.Parameter(torch.ones(shape)) for _ in range(2))
    reference = original.APOLLOAdamW(
        [{"params": [theirs], "proj": "random", "proj_type": "std", **group}], **ADAM, no_deprecation_warning=True
    )
    group.pop("scale_front", None)  # which only moves a factor to the other side of a ratio
    optimizer = ApolloAdamW([{"params": [mine], **group}], ADAM)
    generator = torch.Generator().manual_seed(0)
    for step in range(8):
        gradient = torch.randn(shape, generator=generator) * 2**step
        theirs.grad, mine.grad = gradient.clone(), gradient.clone()
        reference.step()
        optimizer.step()
    assert (theirs - torch.ones(shape)).abs().max() > 0.01
    torch.testing.assert_close(mine, theirs, rtol=0, atol=2e-6)


def test_projections_keep_lengths() -> None:
    """Johnson-Lindenstrauss: with variance 1 / rank, squared norms of columns are kept on the average."""
    gradient = torch.randn(64, 400, generator=torch.Generator().manual_seed(0))
    ratios = [
        (random_projection(gradient, 16, seed_of(number, 0)).square().sum(0) / gradient.square().sum(0)).mean()
        for number in range(1, 5)
    ]
    assert torch.stack(ratios).mean().item() == pytest.approx(1.0, abs=0.1)
    assert len({round(ratio.item(), 6) for ratio in ratios}) == 4


def test_growth_is_limited() -> None:
    update, norm = limit_growth(torch.full((4,), 5.0), torch.tensor(2.0))
    assert norm.item() == pytest.approx(2.02) and update.norm().item() == pytest.approx(2.02)
    update, norm = limit_growth(torch.full((4,), 0.5), torch.tensor(2.0))
    assert norm.item() == pytest.approx(1.0) and update.tolist() == [0.5] * 4


@pytest.mark.parametrize("shape", [(4096, 4096), (4096, 11008)])
@pytest.mark.parametrize(("rank", "scale_type"), [(256, "channel"), (1, "tensor")])
def test_state_is_that_of_the_paper(shape, rank, scale_type) -> None:
    """2nr numbers and the norm (table 1), counted as the memory behind the tensors."""
    weight = torch.nn.Parameter(torch.zeros(shape))
    weight.grad = torch.ones(shape)
    group = {"rank": rank, "scale": 1.0, "scale_type": scale_type, "update_proj_gap": 200}
    optimizer = ApolloAdamW([{"params": [weight], **group}], ADAM)
    optimizer.step()
    held = [value for value in optimizer.state[weight].values() if isinstance(value, torch.Tensor)]
    assert sum(value.untyped_storage().nbytes() for value in held) == 4 * (2 * max(shape) * rank + 1)


def test_layerwise_is_the_same(tiny_llama, tiny_bpe) -> None:
    settings = OptimizerSettings(1e-2, 0.0, 0.9, 0.999, 1e-8)
    model, batch = load_plain(tiny_llama), collate(examples(tiny_bpe))
    twin = copy.deepcopy(model)
    whole = Apollo(rank=8).build_optimizer(model=model, settings=settings)
    parts = Apollo(rank=8, layerwise=True).build_optimizer(model=twin, settings=settings)
    for _ in range(3):
        for network, optimizer in ((model, whole), (twin, parts)):
            mean_loss(network, batch).backward()
            optimizer.step()
            optimizer.zero_grad()
    assert all(torch.equal(weight, other) for weight, other in zip(model.parameters(), twin.parameters(), strict=True))


@pytest.mark.parametrize(
    ("options", "others", "values", "key", "text"),
    [
        ({}, {"adapter": {"mine": BESIDE}}, {}, "optimizer", "optimizer=apollo saves the state of large matrices"),
        ({"layerwise": True}, {}, {"trainer.max_grad_norm": 1.0}, "trainer.max_grad_norm", "cannot clip"),
    ],
)
def test_conflicts_are_reported(options, others, values, key, text) -> None:
    optimizer = Apollo(**options)
    (problem,) = optimizer.check(StubPlan({"optimizer": {"apollo": optimizer}, **others}, values=values))
    assert problem.key == key and text in problem.message


@pytest.mark.parametrize("values", [{"rank": 0}, {"update_proj_gap": 0}, {"scale": 0.0}])
@pytest.mark.parametrize("plugin", [Apollo, ApolloMini])
def test_ranges(plugin, values) -> None:
    _, problems = structured(plugin, values, ("optimizer",), "optimizer=apollo")
    assert [str(problem.key) for problem in problems] == [f"optimizer.{name}" for name in values]


def test_updates_inside_the_backward_pass_are_for_one_process() -> None:
    assert Apollo(layerwise=True).traits.one_process and not Apollo().traits.one_process


@pytest.mark.parametrize("scale_type", ["channel", "tensor"])
@pytest.mark.parametrize("transposed", [False, True])
def test_experts_are_projected_one_by_one(scale_type, transposed, monkeypatch) -> None:
    """A stack of three goes where the matrices go, each by itself with its part of the random numbers; the limiter of
    their growth is at work, and one expert meets no token in two steps."""

    def of_the_stack(gradient: torch.Tensor, rank: int, seed: int) -> torch.Tensor:
        period, number = divmod(seed, 1_000_003)
        drawn = torch.Generator().manual_seed(seed_of(1, period))
        matrices = torch.randn(3, rank, 10, generator=drawn) / rank**0.5
        return gradient @ (matrices[number - 1] if gradient.ndim == 2 else matrices).mT

    projection = {"rank": 4, "update_proj_gap": 3, "scale": 1.0, "scale_type": scale_type}
    apart = [torch.nn.Parameter(torch.ones(24, 10)) for _ in range(3)]
    stack = torch.nn.Parameter(torch.ones(3, 10, 24) if transposed else torch.ones(3, 24, 10))
    single = ApolloAdamW([{"params": apart, **projection}], ADAM)
    optimizer = ApolloAdamW([{"params": [stack], "transposed": transposed, **projection}], ADAM)
    generator = torch.Generator().manual_seed(0)
    for step in range(8):
        made = [
            torch.randn(24, 10, generator=generator) * 2**step * (index or step not in (0, 4)) for index in range(3)
        ]
        stack.grad = torch.stack(made).mT.contiguous() if transposed else torch.stack(made)
        optimizer.step()
        with monkeypatch.context() as patched:
            patched.setattr("tunesmith_optimizer_apollo.optimizer.random_projection", of_the_stack)
            for weight, gradient in zip(apart, made, strict=True):
                weight.grad = gradient
            single.step()
    expected = torch.stack(list(apart))
    assert (expected - 1).abs().amax(dim=(1, 2)).min() > 0.01
    torch.testing.assert_close(stack.mT if transposed else stack, expected, rtol=0, atol=1e-5)
