"""What every optimizer keeps to."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tunesmith.types import OptimizerSettings
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.training import BESIDE_A_STEP

from tunesmith_library_testing.allocating import highest_allocation
from tunesmith_library_testing.estimated import check_changes
from tunesmith_library_testing.holding import held_bytes
from tunesmith_library_testing.parts import StubPlan, collate, estimate_of, examples, load_plain, mean_loss, train
from tunesmith_library_testing.suites.plugin import PluginSuite


class OptimizerSuite(PluginSuite):
    """The tests of an `optimizer` plugin, on a tiny Llama in float32."""

    kind = "optimizer"
    learning_rate: ClassVar[float] = 1e-3  # of the 20 steps
    falls_to: ClassVar[float] = 0.9  # the loss after 20 steps on one batch, over the loss before
    state_is_complete: ClassVar[bool] = True  # False: state_dict alone does not repeat the next step

    step_peak: ClassVar[float] = 0.15  # by how much the estimate of what a step needs beside the states may be wrong

    def build(self, model: Any) -> Any:
        """The optimizer of a model."""
        settings = OptimizerSettings(self.learning_rate, 0.0, 0.9, 0.999, 1e-8)
        return self.manager().hook.build_optimizer(model=model, settings=settings)

    def test_is_a_torch_optimizer(self, tiny_llama: Path) -> None:
        """A `torch.optim.Optimizer` over every trainable weight once, whose groups carry `lr`."""
        import torch

        model = load_plain(tiny_llama)
        model.get_input_embeddings().requires_grad_(False)
        optimizer = self.build(model)
        assert isinstance(optimizer, torch.optim.Optimizer)
        assert all("lr" in group for group in optimizer.param_groups)
        assert any(group["lr"] == self.learning_rate for group in optimizer.param_groups)
        held = [id(weight) for group in optimizer.param_groups for weight in group["params"]]
        trainable = {id(weight) for weight in model.parameters() if weight.requires_grad}
        assert len(held) == len(set(held)), "a weight is in two groups"
        assert set(held) & trainable == trainable, "a trainable weight is in no group"

    def test_lowers_the_loss(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """Twenty steps lower the loss of one batch; frozen weights stay."""
        model = load_plain(tiny_llama)
        frozen = model.get_input_embeddings().requires_grad_(False).weight
        before = frozen.clone()
        losses = train(model, collate(examples(tiny_bpe)), optimizer=self.build(model))
        assert losses[-1] < self.falls_to * losses[0], f"{losses[0]:.3f} -> {losses[-1]:.3f}"
        assert bool((frozen == before).all())

    def test_obeys_the_schedule(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """With the learning rate at 0 a step changes nothing: the scheduler has the say."""
        import torch

        model, batch = load_plain(tiny_llama), collate(examples(tiny_bpe))
        optimizer = self.build(model)
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0)
        before = [weight.clone() for weight in model.parameters()]
        self._step(model, optimizer, batch)
        moved = [
            n for (n, weight), old in zip(model.named_parameters(), before, strict=True) if bool((weight != old).any())
        ]
        told = "read the rate from group['lr'] in each step, not from settings.learning_rate"
        assert not moved, f"with a learning rate of 0 these moved: {moved[:3]}; {told}"

    def test_state_round_trip(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """A new optimizer that was given the state takes the same next step."""
        if not self.state_is_complete:
            pytest.skip("the state of this optimizer is not all in its state_dict")
        model, batch = load_plain(tiny_llama), collate(examples(tiny_bpe))
        optimizer = self.build(model)
        for _ in range(3):
            self._step(model, optimizer, batch)
        twin = copy.deepcopy(model)
        second = self.build(twin)
        second.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        self._step(model, optimizer, batch)
        self._step(twin, second, batch)
        for (name, weight), other in zip(model.named_parameters(), twin.parameters(), strict=True):
            assert bool((weight == other).all()), f"{name} differs after the next step"

    def test_estimates_its_states(self, tiny_llama: Path) -> None:
        """What it says that it remembers is what it holds after two steps: to 2 %, or 4 KiB."""
        if "estimate" not in self.hooks():
            pytest.skip("this optimizer says nothing of what it costs")
        for dtype in ("float32", "bfloat16"):
            model = load_plain(tiny_llama, dtype)
            optimizer = self.build(model)
            for _ in range(2):
                _some_gradients(model)
                optimizer.step()
            weights = set(model.parameters())
            held = held_bytes(*(state for weight, state in optimizer.state.items() if weight in weights))
            said = self._estimate(model).memory["optimizer states"].bytes
            assert abs(said - held) <= max(0.02 * held, 4096), f"{dtype}: {said} bytes were said, {held} are held"

    def test_estimates_a_step(self, tiny_llama: Path) -> None:
        """A step needs no more room beside its states than it says, and not much less: to `step_peak`, or 16 KiB."""
        if "estimate" not in self.hooks():
            pytest.skip("this optimizer says nothing of what it costs")
        model = load_plain(tiny_llama)
        optimizer = self.build(model)
        steps = []
        for _ in range(3):
            _some_gradients(model)
            before = held_bytes(dict(optimizer.state))
            with highest_allocation() as step:
                optimizer.step()
            steps.append(step.bytes - max(held_bytes(dict(optimizer.state)) - before, 0))
        said = self._estimate(model).memory.get(BESIDE_A_STEP)
        bytes_said = 0.0 if said is None else said.bytes
        allowed = max(self.step_peak * bytes_said, 16_384)
        assert abs(max(steps) - bytes_said) <= allowed, f"{bytes_said} bytes were said, steps needed {steps}"

    def _estimate(self, model: Any) -> Estimate:
        """What it says of a model of which it trains everything, on a CPU."""
        before = estimate_of(model)
        trained = tuple(replace(weight, trained=True) for weight in before.weights)
        before = replace(before, weights=trained, machine=Machine(device="cpu"))
        plan = StubPlan({self.kind: {"this": self.make()}})
        (found,) = self.manager().hook.estimate(estimate=before, plan=plan)
        check_changes(self, found)
        assert isinstance(found, Estimate)
        return found

    @staticmethod
    def _step(model: Any, optimizer: Any, batch: dict[str, Any]) -> None:
        optimizer.zero_grad()
        mean_loss(model, batch).backward()
        optimizer.step()


def _some_gradients(model: Any) -> None:
    import torch

    for weight in model.parameters():
        weight.grad = torch.randn_like(weight) if weight.requires_grad else None
