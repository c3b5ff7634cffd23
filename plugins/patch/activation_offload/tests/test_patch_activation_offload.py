"""Moving: what is moved, when it is fetched, what it is then; and that gradients stay the same to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith_library_testing import PatchSuite
from tunesmith_library_testing.parts import StubPlan, collate, compute_loss, examples, load_plain
from tunesmith_patch_activation_offload import ActivationOffload
from tunesmith_patch_activation_offload.moving import Offload, move


class Copies:
    """Stands in for a GPU's copies: the memory of the host is the same, and every step is noted."""

    def __init__(self, in_flight: int = 2) -> None:
        self.in_flight = in_flight
        self.steps: list[tuple[str, int]] = []  # leaves, arrives or waits, and the number of the copy
        self.out: list[torch.Tensor] = []

    def takes(self, tensor: torch.Tensor) -> bool:
        return True

    def to_host(self, tensor: torch.Tensor) -> tuple[torch.Tensor, Any]:
        self.out.append(tensor.clone())
        self.steps.append(("leaves", len(self.out) - 1))
        return self.out[-1], ("leaves", len(self.out) - 1)

    def to_device(self, tensor: torch.Tensor, device: torch.device) -> tuple[torch.Tensor, Any]:
        number = next(number for number, copy in enumerate(self.out) if copy is tensor)
        self.steps.append(("arrives", number))
        return tensor.clone(), ("arrives", number)

    def wait(self, ticket: Any) -> None:
        self.steps.append(("waits for " + ticket[0], ticket[1]))


@pytest.fixture
def moving(monkeypatch: pytest.MonkeyPatch) -> Copies:
    """A machine that is said to have an accelerator, whose copies are those of `Copies`."""
    lane = Copies()
    monkeypatch.setattr("tunesmith_patch_activation_offload.moving.has_accelerator", lambda: True)
    monkeypatch.setattr("tunesmith_patch_activation_offload.moving.Transfers", lambda in_flight: lane)
    return lane


class TestActivationOffload(PatchSuite):
    plugin = ActivationOffload

    @pytest.fixture(autouse=True)
    def _moving(self, moving: Copies) -> None:
        """On any machine."""


def gradients(model: Any, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
    compute_loss(model.train(), batch).loss.backward()
    return {name: weight.grad for name, weight in model.named_parameters()}


@pytest.mark.parametrize("padding_free", [True, False])
def test_gradients_are_those_of_what_was_kept(padding_free: bool, tiny_llama: Path, tiny_bpe: Any) -> None:
    """To the bit, in two steps one after the other; all that was moved was fetched once, however often it was saved."""
    batch = collate(examples(tiny_bpe), padding_free)
    plain, moved, lane = load_plain(tiny_llama), load_plain(tiny_llama), Copies()
    assert move(moved, lane, min_bytes=0) == moved.config.num_hidden_layers
    for _ in range(2):
        expected, found = gradients(plain, batch), gradients(moved, batch)
        assert all(torch.equal(expected[name], found[name]) for name in expected)
        left = [number for step, number in lane.steps if step == "leaves"]
        arrived = [number for step, number in lane.steps if step == "arrives"]
        assert len(left) > 10 and sorted(arrived) == left


def test_evaluation_moves_nothing(tiny_llama: Path, tiny_bpe: Any) -> None:
    model, lane = load_plain(tiny_llama), Copies()
    move(model, lane, min_bytes=0)
    with torch.no_grad():
        compute_loss(model.train(), collate(examples(tiny_bpe)))
    compute_loss(model.eval(), collate(examples(tiny_bpe)))
    assert not lane.steps


def test_hooks_end_where_a_layer_fails(tiny_llama: Path, tiny_bpe: Any) -> None:
    model, lane = load_plain(tiny_llama).train(), Copies()
    move(model, lane, min_bytes=0)
    model.model.layers[1].mlp.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(LookupError("broken")))
    with pytest.raises(LookupError):
        compute_loss(model, collate(examples(tiny_bpe)))
    lane.steps.clear()
    torch.ones(9, requires_grad=True).exp().sum().backward()
    assert not lane.steps


def test_what_stays() -> None:
    """Weights, also as a view of them, small tensors, and one number that is seen as many."""
    lane = Copies()
    offload = Offload(lane, min_bytes=400)
    weight = torch.nn.Parameter(torch.randn(10, 10))
    offload.weights = {weight.untyped_storage().data_ptr()}
    hidden, small = torch.randn(3, 10), torch.randn(9, 10, requires_grad=True)
    with offload.hooks():
        (hidden @ weight.T).sum()
        small.exp()
        torch.randn(1, 1).expand(20, 20) * torch.randn(20, 20, requires_grad=True)
        assert not lane.steps
        torch.randn(10, 10, requires_grad=True).exp()
    assert lane.steps == [("leaves", 0)]


def test_the_order_of_copies() -> None:
    """Two leave at a time; in the backward pass the two saved before one are fetched while it is used."""
    lane = Copies(in_flight=2)
    value = torch.randn(4, requires_grad=True)
    with Offload(lane, min_bytes=0).hooks():
        result = value
        for _ in range(4):
            result = result.exp()
    assert lane.steps == [("leaves", 0), ("leaves", 1), ("waits for leaves", 0), ("leaves", 2), *[
        ("waits for leaves", 1), ("leaves", 3)
    ]]  # fmt: skip
    lane.steps.clear()
    result.sum().backward()
    assert lane.steps == [
        *[("waits for leaves", 2), ("waits for leaves", 3)],
        *[("arrives", 3), ("arrives", 2), ("arrives", 1), ("waits for arrives", 3)],
        *[("arrives", 0), ("waits for arrives", 2)],
        *[("waits for arrives", 1), ("waits for arrives", 0)],
    ]


def test_a_backward_pass_that_was_broken_off() -> None:
    """What was fetched and never used is waited for before its memory can be used by the next step."""
    lane = Copies(in_flight=2)
    offload = Offload(lane, min_bytes=0)
    value = torch.randn(4, requires_grad=True)
    with offload.hooks():
        first = value.exp()
        second = first.exp()
    torch.autograd.grad(second.sum(), first)
    assert ("arrives", 0) in lane.steps
    del first, second
    with offload.hooks():
        value.exp().sum().backward()
    assert lane.steps.index(("waits for arrives", 0)) < lane.steps.index(("leaves", 2))


def test_what_does_not_go_together() -> None:
    def keys(**options: Any) -> set[str]:
        plan = StubPlan({}, values={f"trainer.{name}": value for name, value in options.items()})
        return {str(problem.key) for problem in ActivationOffload().check(plan)}

    assert keys(gradient_checkpointing="auto") == set()
    assert keys(gradient_checkpointing=True) == {"trainer.gradient_checkpointing"}
    assert keys(gradient_checkpointing="offload", torch_compile=True) == {
        "trainer.gradient_checkpointing",
        "trainer.torch_compile",
    }
    assert keys(use_cpu=True) == {"patch.activation_offload"}


def test_without_a_gpu_nothing_is_loaded(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    with pytest.raises(TunesmithError, match="there is no GPU"):
        TestActivationOffload().load(tiny_llama)
    with pytest.raises(TunesmithError, match="Linear does not say which"):
        move(torch.nn.Linear(2, 2), Copies(), 0)


@pytest.mark.gpu
def test_the_gpu_keeps_less_and_gives_the_same(tiny_llama: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    from tunesmith_patch_activation_offload.moving import Transfers

    ids, kept, found = torch.arange(5, 250, device="cuda").repeat(64, 1), [], []
    for offload in (False, True):
        model = load_plain(tiny_llama).cuda().train()
        if offload:
            move(model, Transfers(4), min_bytes=2**16)
        before = torch.cuda.memory_allocated()
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
        torch.cuda.synchronize()
        kept.append(torch.cuda.memory_allocated() - before)
        hidden.float().logsumexp(-1).sum().backward()
        found.append({name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None})
        del hidden
    assert kept[1] < 0.6 * kept[0]
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
