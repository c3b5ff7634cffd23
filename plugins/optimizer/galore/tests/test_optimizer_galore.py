"""GaLore against galore-torch, against AdamW at full rank, and in its layer-wise form."""

from __future__ import annotations

import copy
import warnings
from types import SimpleNamespace

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith.traits import AdapterTraits
from tunesmith.types import OptimizerSettings
from tunesmith.validate import structured
from tunesmith_library_testing import OptimizerSuite
from tunesmith_library_testing.parts import StubPlan, collate, examples, load_plain, mean_loss
from tunesmith_optimizer_galore import GaLore
from tunesmith_optimizer_galore.optimizer import GaLoreAdamW, project, project_back, subspace

SETTINGS = OptimizerSettings(1e-2, 0.0, 0.9, 0.999, 1e-12)
ADAM = {"lr": 1e-2, "betas": (0.9, 0.999), "eps": 1e-12, "weight_decay": 0.0}


class TestGaLore(OptimizerSuite):
    plugin = GaLore
    options = {"rank": 8, "update_proj_gap": 2}
    learning_rate = 1e-2


def gradients(shape: tuple[int, int], count: int, seed: int = 0) -> list[torch.Tensor]:
    """Random matrices whose singular values differ, so that their singular vectors are distinct."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.linspace(2, 0.1, shape[1])
    return [torch.randn(shape, generator=generator) * scale for _ in range(count)]


@pytest.mark.parametrize("proj_type", ["std", "reverse_std", "left", "right", "full"])
@pytest.mark.parametrize("shape", [(24, 10), (10, 24)])
def test_equals_galore_torch(shape, proj_type, monkeypatch) -> None:
    """Seven steps, over three subspaces, take the weight where the authors' package takes it."""
    import galore_torch as original
    from galore_torch.galore_projector import GaLoreProjector

    if proj_type == "full":
        # The first gradient is diagonal in its own subspace but for rounding, whose sign Adam takes for a direction:
        # their product must be rounded as ours, from matrices that lie in memory as ours do.
        found = GaLoreProjector.get_orthogonal_matrix
        monkeypatch.setattr(
            GaLoreProjector,
            "get_orthogonal_matrix",
            lambda *given, **named: [
                side.clone(memory_format=torch.contiguous_format) for side in found(*given, **named)
            ],
        )
    projection = {"rank": 4, "update_proj_gap": 3, "scale": 2.0, "proj_type": proj_type}
    theirs, mine = (torch.nn.Parameter(torch.ones(shape)) for _ in range(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = original.GaLoreAdamW([{"params": [theirs], **projection}], **ADAM)
    optimizer = GaLoreAdamW([{"params": [mine], **projection}], ADAM)
    for gradient in gradients(shape, 7):
        theirs.grad, mine.grad = gradient.clone(), gradient.clone()
        reference.step()
        optimizer.step()
    assert (theirs - torch.ones(shape)).abs().max() > 0.01
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)


def test_the_best_approximation_of_that_rank() -> None:
    """Projected and projected back, a gradient loses exactly its smaller singular values (Eckart & Young)."""
    (gradient,) = gradients((12, 30), 1)
    sides = subspace(gradient, 5, True, False)
    error = gradient - project_back(project(gradient, *sides), *sides)
    lost = torch.linalg.svdvals(gradient.double())[5:]
    assert error.double().norm().item() == pytest.approx(lost.norm().item(), rel=1e-5)


def test_vectors_and_decay_are_torchs_adamw(tiny_llama) -> None:
    """Weights that are not projected go where torch.optim.AdamW takes them, with weight decay on matrices only."""
    settings = OptimizerSettings(1e-2, 0.1, 0.9, 0.999, 1e-8)
    model = load_plain(tiny_llama)
    twin = copy.deepcopy(model)
    optimizer = GaLore(rank=10_000).build_optimizer(model=model, settings=settings)
    assert all("rank" not in group for group in optimizer.param_groups)
    groups = [
        {"params": [weight for weight in twin.parameters() if weight.ndim > 1], "weight_decay": 0.1},
        {"params": [weight for weight in twin.parameters() if weight.ndim == 1], "weight_decay": 0.0},
    ]
    reference = torch.optim.AdamW(groups, lr=1e-2)
    for step in range(3):
        for weight, other in zip(model.parameters(), twin.parameters(), strict=True):
            torch.manual_seed(step)
            weight.grad = torch.randn_like(weight)
            other.grad = weight.grad.clone()
        optimizer.step()
        reference.step()
    for weight, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-5, atol=1e-6)


def test_layerwise_is_the_same_without_gradients(tiny_llama, tiny_bpe) -> None:
    """Updates inside the backward pass end with the same weights, and no gradient is left."""
    model, batch = load_plain(tiny_llama), collate(examples(tiny_bpe))
    twin = copy.deepcopy(model)
    whole = GaLore(rank=8).build_optimizer(model=model, settings=SETTINGS)
    parts = GaLore(rank=8, layerwise=True).build_optimizer(model=twin, settings=SETTINGS)
    for _ in range(3):
        for network, optimizer in ((model, whole), (twin, parts)):
            mean_loss(network, batch).backward()
            assert network is model or all(weight.grad is None for weight in twin.parameters())
            optimizer.step()
            optimizer.zero_grad()
    assert all(torch.equal(weight, other) for weight, other in zip(model.parameters(), twin.parameters(), strict=True))


@pytest.mark.parametrize("shape", [(4096, 4096), (4096, 11008)])
def test_state_is_that_of_the_paper(shape) -> None:
    """mr + 2nr numbers (table 1), counted as the memory behind the tensors; meta tensors have shapes only."""
    weight = torch.nn.Parameter(torch.empty(shape, device="meta"))
    weight.grad = torch.empty(shape, device="meta")
    projection = {"rank": 128, "update_proj_gap": 200, "scale": 0.25, "proj_type": "std"}
    optimizer = GaLoreAdamW([{"params": [weight], **projection}], ADAM)
    optimizer.step()
    held = [value for value in optimizer.state[weight].values() if isinstance(value, torch.Tensor)]
    small, large = min(shape), max(shape)
    assert sum(value.untyped_storage().nbytes() for value in held) == 4 * (small * 128 + 2 * large * 128)


def test_targets(tiny_llama) -> None:
    model = load_plain(tiny_llama)
    optimizer = GaLore(rank=8, target_modules=["layers.1.mlp"]).build_optimizer(model=model, settings=SETTINGS)
    mlp = model.model.layers[1].mlp
    expected = {id(layer.weight) for layer in (mlp.gate_proj, mlp.up_proj, mlp.down_proj)}
    assert {id(weight) for weight in optimizer.param_groups[0]["params"]} == expected
    with pytest.raises(TunesmithError, match=r"optimizer\.target_modules=q_porj.*\n.*did you mean q_proj"):
        GaLore(target_modules=["q_porj"]).build_optimizer(model=model, settings=SETTINGS)


BESIDE = SimpleNamespace(traits=AdapterTraits(beside=True))
CONFLICTS = [
    ({}, {"adapter": {"mine": BESIDE}}, {}, "optimizer", "adapter=mine trains none"),
    ({}, {}, {"trainer.fsdp": "full_shard"}, "trainer.fsdp", "cuts them in pieces"),
    ({}, {}, {"trainer.deepspeed": "zero.json"}, "trainer.deepspeed", "cuts them in pieces"),
    (
        {"layerwise": True},
        {},
        {"trainer.gradient_accumulation_steps": 4},
        "trainer.gradient_accumulation_steps",
        "cannot accumulate 4",
    ),
    ({"layerwise": True}, {}, {"trainer.max_grad_norm": 1.0}, "trainer.max_grad_norm", "cannot clip"),
    ({"layerwise": True}, {}, {"precision": "fp16"}, "precision", "fp16's scaled gradients"),
]


@pytest.mark.parametrize(("options", "others", "values", "key", "text"), CONFLICTS)
def test_conflicts_are_reported(options, others, values, key, text) -> None:
    optimizer = GaLore(**options)
    (problem,) = optimizer.check(StubPlan({"optimizer": {"galore": optimizer}, **others}, values=values))
    assert problem.key == key and text in problem.message and problem.severity == "error"


@pytest.mark.parametrize("values", [{"rank": 0}, {"update_proj_gap": 0}, {"scale": 0.0}])
def test_ranges(values) -> None:
    _, problems = structured(GaLore, values, ("optimizer",), "optimizer=galore")
    assert [str(problem.key) for problem in problems] == [f"optimizer.{name}" for name in values]


def test_layerwise_on_several_processes_is_reported(monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert GaLore().check(StubPlan({"adapter": {"full": None}})) == []
    (problem,) = GaLore(layerwise=True).check(StubPlan({"adapter": {"full": None}}))
    assert "before 2 processes have shared gradients" in problem.message


def test_updates_inside_the_backward_pass_are_for_one_process() -> None:
    assert GaLore(layerwise=True).traits.one_process and not GaLore().traits.one_process


@pytest.mark.parametrize("proj_type", ["std", "reverse_std", "full"])
@pytest.mark.parametrize("transposed", [False, True])
def test_experts_are_projected_one_by_one(proj_type, transposed) -> None:
    """A stack of three goes where the matrices of its experts go, each by itself, over three subspaces."""
    projection = {"rank": 4, "update_proj_gap": 3, "scale": 2.0, "proj_type": proj_type}
    adam = {**ADAM, "eps": 1e-3}  # above the rounding of products, of which Adam would take the sign
    apart = [torch.nn.Parameter(torch.ones(24, 10)) for _ in range(3)]
    stack = torch.nn.Parameter(torch.ones(3, 10, 24) if transposed else torch.ones(3, 24, 10))
    single = GaLoreAdamW([{"params": apart, **projection}], adam)
    optimizer = GaLoreAdamW([{"params": [stack], "transposed": transposed, **projection}], adam)
    for step in range(7):
        made = [gradients((24, 10), 1, seed=10 * step + index)[0] for index in range(3)]
        for weight, gradient in zip(apart, made, strict=True):
            weight.grad = gradient
        stack.grad = torch.stack(made).mT.contiguous() if transposed else torch.stack(made)
        single.step()
        optimizer.step()
    expected = torch.stack(list(apart))
    assert (expected - 1).abs().max() > 0.01
    torch.testing.assert_close(stack.mT if transposed else stack, expected, rtol=0, atol=1e-5)


def test_experts_are_among_all(tiny_mixtures) -> None:
    """Each of 2 layers has 4 linear layers and 2 stacks of 4 matrices; those held as (experts, in, out) are marked."""
    for name, marked in (("qwen3_moe", 0), ("gpt_oss", 4)):
        optimizer = GaLore(rank=8).build_optimizer(model=load_plain(tiny_mixtures[name]), settings=SETTINGS)
        projected = [group for group in optimizer.param_groups if "rank" in group]
        assert sum(weight.shape[:-2].numel() for group in projected for weight in group["params"]) == 2 * (4 + 2 * 4)
        assert sum(len(group["params"]) for group in projected if group.get("transposed")) == marked
