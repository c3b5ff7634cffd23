"""BAdam against the authors' package, against AdamW, and the order of its blocks."""

from __future__ import annotations

import copy
import io
import warnings
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith.traits import AdapterTraits
from tunesmith.types import OptimizerSettings
from tunesmith.validate import structured
from tunesmith_library_estimates.activations import activations
from tunesmith_library_estimates.training import passes
from tunesmith_library_testing import OptimizerSuite
from tunesmith_library_testing.holding import held_bytes
from tunesmith_library_testing.parts import StubPlan, collate, estimate_of, examples, load_plain, mean_loss
from tunesmith_optimizer_badam import BAdam
from tunesmith_optimizer_badam.blocks import Order, share_of

SETTINGS = OptimizerSettings(1e-2, 0.0, 0.9, 0.999, 1e-8)
BESIDE = SimpleNamespace(traits=AdapterTraits(beside=True))
ALL = {"include_embedding": True, "include_lm_head": True}


def one_step(model, optimizer, batch) -> None:
    mean_loss(model, batch).backward()
    optimizer.step()
    optimizer.zero_grad()


class TestBAdam(OptimizerSuite):
    plugin = BAdam
    options = {"switch_interval": 3, **ALL}
    learning_rate = 1e-2
    deviations = {
        "test_state_round_trip": "a copy of the model in training is partly frozen; the copy is made before",
        "test_estimates_its_states": "the state is of one block, and the estimate of the largest",
    }

    def test_state_round_trip(self, tiny_llama, tiny_bpe) -> None:
        """A new process: a fresh model with the saved weights, and a new optimizer with the saved state."""
        model, fresh, batch = load_plain(tiny_llama), load_plain(tiny_llama), collate(examples(tiny_bpe))
        optimizer, second = self.build(model), self.build(fresh)
        for _ in range(5):  # in the middle of the second block's turn
            one_step(model, optimizer, batch)
        fresh.load_state_dict(model.state_dict())
        second.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        for _ in range(4):  # until the fourth block
            one_step(model, optimizer, batch)
            one_step(fresh, second, batch)
        assert all(torch.equal(one, other) for one, other in zip(model.parameters(), fresh.parameters(), strict=True))

    def test_estimates_its_states(self, tiny_llama) -> None:
        """The most that it holds in a round of all blocks; and the gradients of one block are all there are."""
        for dtype in ("float32", "bfloat16"):
            model = load_plain(tiny_llama, dtype)
            optimizer = BAdam(switch_interval=2, **ALL).build_optimizer(model, SETTINGS)
            states, gradients = [], []
            for _ in range(8):
                for weight in model.parameters():
                    weight.grad = torch.ones_like(weight) if weight.requires_grad else None
                gradients.append(held_bytes([weight.grad for weight in model.parameters()]))
                optimizer.step()
                states.append(held_bytes(dict(optimizer.state)))
            found = self._estimate(model)
            assert found.memory["optimizer states"].bytes == max(states)
            assert found.memory["gradients"].bytes == max(gradients)


def test_less_is_kept_and_computed_than_for_all_layers(tiny_llama) -> None:
    """Inputs of one layer alone are kept for its gradients; a layer at the top has no gradients to pass on."""
    before = estimate_of(load_plain(tiny_llama), "bf16")
    trained = replace(before, weights=tuple(replace(weight, trained=True) for weight in before.weights), length=100)
    everything = replace(activations(trained, recomputes=False), passes=passes(trained, recomputes=False))
    blocks = BAdam().estimate(everything, StubPlan({"optimizer": {"badam": BAdam()}}))
    assert blocks.memory["activations"].bytes_per_token < everything.memory["activations"].bytes_per_token
    assert 1 < blocks.passes < everything.passes == 3


class TestShares(OptimizerSuite):
    plugin = BAdam
    options = {"mode": "ratio", "update_ratio": 0.25}
    learning_rate = 1e-2


@pytest.mark.parametrize(
    ("switch_mode", "dtype"),
    [
        ("ascending", "float32"),
        ("descending", "bfloat16"),
        pytest.param("ascending", "bfloat16", marks=pytest.mark.slow),
        pytest.param("descending", "float32", marks=pytest.mark.slow),
    ],
)
def test_equals_the_authors_package(tiny_llama, switch_mode, dtype) -> None:
    """Two rounds of both layers, four steps each, take every weight where the package takes it."""
    import badam as original

    model = load_plain(tiny_llama, dtype)
    twin = copy.deepcopy(model)
    optimizer = BAdam(switch_mode=switch_mode, switch_interval=4).build_optimizer(model=model, settings=SETTINGS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = original.BlockOptimizer(
            torch.optim.AdamW(twin.parameters(), lr=1e-2, weight_decay=0.0, foreach=False),
            list(twin.named_parameters()),
            switch_block_every=10_000,  # the package's first turn is a step shorter: switched by hand below
            switch_mode=switch_mode,
        )
    before = [weight.clone() for weight in model.parameters()]
    generator = torch.Generator().manual_seed(0)
    for step in range(1, 17):
        for weight, other in zip(model.parameters(), twin.parameters(), strict=True):
            assert weight.requires_grad == other.requires_grad
            if weight.requires_grad:
                weight.grad = torch.randn(weight.shape, generator=generator).to(weight.dtype)
                other.grad = weight.grad.clone()
        optimizer.step()
        reference.step()
        if step % 4 == 0:
            reference.switch_trainable_params()
    changed = 0
    for (name, weight), other, start in zip(model.named_parameters(), twin.parameters(), before, strict=True):
        torch.testing.assert_close(weight, other, rtol=0, atol=1e-6 if dtype == "float32" else 1e-3, msg=name)
        changed += not torch.equal(weight, start)
        assert torch.equal(weight, start) == ("layers" not in name)
    assert changed == 18


def test_ratio_of_one_is_adamw(tiny_llama, tiny_bpe) -> None:
    model, batch = load_plain(tiny_llama), collate(examples(tiny_bpe))
    twin = copy.deepcopy(model)
    settings = OptimizerSettings(1e-3, 0.1, 0.9, 0.999, 1e-8)
    optimizer = BAdam(mode="ratio", update_ratio=1.0).build_optimizer(model=model, settings=settings)
    groups = [
        {"params": [weight for weight in twin.parameters() if weight.ndim > 1]},
        {"params": [weight for weight in twin.parameters() if weight.ndim == 1], "weight_decay": 0.0},
    ]
    reference = torch.optim.AdamW(groups, lr=1e-3, weight_decay=0.1)
    for _ in range(3):
        one_step(model, optimizer, batch)
        one_step(twin, reference, batch)
    for weight, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("mask_mode", ["adjacent", "scatter"])
def test_ratio_trains_each_number_once_a_round(tiny_llama, tiny_bpe, mask_mode) -> None:
    """Four shares: in each step another quarter of a matrix moves, and all of it in four."""
    model, batch = load_plain(tiny_llama), collate(examples(tiny_bpe))
    options = {"mode": "ratio", "update_ratio": 0.25, "switch_interval": 1, "mask_mode": mask_mode}
    optimizer = BAdam(**options).build_optimizer(model=model, settings=SETTINGS)
    weight = model.model.layers[0].mlp.up_proj.weight
    moved = torch.zeros_like(weight)
    for _ in range(4):
        before = weight.detach().clone()
        one_step(model, optimizer, batch)
        moved += weight != before
        assert (weight != before).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert moved.mean().item() == pytest.approx(1.0, abs=0.01) and moved.max() == 1


def test_shares_cover_a_tensor() -> None:
    for mask_mode in ("adjacent", "scatter"):
        held = [entry for number in range(3) for entry in range(10)[share_of(10, number, 3, mask_mode)]]
        assert sorted(held) == list(range(10))


def test_only_the_active_block_has_gradients_and_state(tiny_llama, tiny_bpe) -> None:
    model, batch = load_plain(tiny_llama), collate(examples(tiny_bpe))
    optimizer = BAdam(switch_mode="ascending", switch_interval=2).build_optimizer(model=model, settings=SETTINGS)
    for layer in (0, 0, 1, 1, 0):
        mean_loss(model, batch).backward()
        with_gradient = {name for name, weight in model.named_parameters() if weight.grad is not None}
        assert with_gradient == {name for name, _ in model.named_parameters() if f"layers.{layer}." in name}
        optimizer.step()
        assert len(optimizer.state) in (0, 9)
        optimizer.zero_grad()


def test_half_precision_weights_keep_small_steps(tiny_llama, tiny_bpe) -> None:
    """Steps below the resolution of bfloat16 add up in the float32 copy, which a checkpoint keeps exactly."""
    model, batch = load_plain(tiny_llama, "bfloat16"), collate(examples(tiny_bpe))
    settings = OptimizerSettings(1e-6, 0.0, 0.9, 0.999, 1e-8)
    optimizer = BAdam(switch_mode="fixed").build_optimizer(model=model, settings=settings)
    weight = model.model.layers[0].mlp.up_proj.weight
    before = weight.detach().clone()
    for _ in range(20):
        one_step(model, optimizer, batch)
    master = optimizer.state[weight]["master"]
    assert master.dtype == torch.float32
    assert (master - before.float().view(-1)).abs().max() > 1e-5
    buffer = io.BytesIO()
    torch.save(optimizer.state_dict(), buffer)
    buffer.seek(0)
    second = BAdam(switch_mode="fixed").build_optimizer(model=load_plain(tiny_llama, "bfloat16"), settings=settings)
    second.load_state_dict(torch.load(buffer, weights_only=True))
    masters = [state["master"] for state in second.state.values()]
    assert any(torch.equal(master, other) for other in masters)


def test_orders() -> None:
    def turns(mode: str, start: int | None = None, count: int = 3, rounds: int = 2) -> list[int]:
        order = Order(count, 5, mode, start)
        assert all(order.at(5 * turn) == order.at(5 * turn + 4) for turn in range(count * rounds))
        return [order.at(5 * turn) for turn in range(count * rounds)]

    assert turns("ascending") == [0, 1, 2, 0, 1, 2]
    assert turns("ascending", 1) == [1, 2, 0, 1, 2, 0]
    assert turns("descending") == [2, 1, 0, 2, 1, 0]
    assert turns("descending", 0) == [0, 2, 1, 0, 2, 1]
    assert turns("fixed", 2) == [2] * 6
    shuffled = turns("random", count=8, rounds=4)
    assert Counter(shuffled) == dict.fromkeys(range(8), 4)
    assert len({tuple(shuffled[begin : begin + 8]) for begin in range(0, 32, 8)}) == 4


def test_state_is_one_layers() -> None:
    """Of D layers, BAdam holds 1/D of AdamW's state; meta tensors have shapes only."""
    from tunesmith_optimizer_badam.optimizer import BlockAdamW

    layers = [torch.nn.Parameter(torch.empty(4096, 11008, device="meta")) for _ in range(8)]
    groups = [{"params": [layer], "block": number, "weight_decay": 0.0} for number, layer in enumerate(layers)]
    optimizer = BlockAdamW(groups, {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8}, Order(8, 50, "ascending"))
    layers[0].grad = torch.empty(4096, 11008, device="meta")
    optimizer.step()
    held = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, torch.Tensor)]
    assert sum(value.untyped_storage().nbytes() for value in held) == 2 * 4 * 4096 * 11008


def test_unknown_start_block(tiny_llama) -> None:
    with pytest.raises(TunesmithError, match=r"start_block=5: there is no such block.\n  possible: 0 to 1"):
        BAdam(switch_mode="fixed", start_block=5).build_optimizer(model=load_plain(tiny_llama), settings=SETTINGS)


def test_a_model_without_layers() -> None:
    class Flat(torch.nn.Linear):
        def get_input_embeddings(self) -> torch.nn.Module:
            return torch.nn.Embedding(2, 2)

    with pytest.raises(TunesmithError, match=r"no trainable weight in a numbered layer"):
        BAdam().build_optimizer(model=Flat(2, 2), settings=SETTINGS)


@pytest.mark.parametrize(
    ("options", "others", "values", "key", "text"),
    [
        ({}, {"adapter": {"mine": BESIDE}}, {}, "optimizer", "adapter=mine trains none of them"),
        ({"start_block": 1}, {}, {}, "optimizer.start_block", "no effect with switch_mode=random"),
        ({}, {}, {"trainer.deepspeed": "zero.json"}, "trainer.deepspeed", "cuts them in pieces"),
    ],
)
def test_conflicts_are_reported(options, others, values, key, text) -> None:
    optimizer = BAdam(**options)
    (problem,) = optimizer.check(StubPlan({"optimizer": {"badam": optimizer}, **others}, values=values))
    assert problem.key == key and text in problem.message


def test_several_processes_are_reported(monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    (problem,) = BAdam().check(StubPlan({}))
    assert "2 processes cannot follow" in problem.message


@pytest.mark.parametrize("values", [{"switch_interval": 0}, {"start_block": -1}, {"update_ratio": 5.0}])
def test_ranges(values) -> None:
    _, problems = structured(BAdam, values, ("optimizer",), "optimizer=badam")
    assert [str(problem.key) for problem in problems] == [f"optimizer.{name}" for name in values]
