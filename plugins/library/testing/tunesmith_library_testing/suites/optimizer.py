"""What every optimizer keeps to."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tunesmith.types import OptimizerSettings

from tunesmith_library_testing.parts import collate, examples, load_plain, mean_loss, train
from tunesmith_library_testing.suites.plugin import PluginSuite


class OptimizerSuite(PluginSuite):
    """The tests of an `optimizer` plugin, on a tiny Llama in float32."""

    kind = "optimizer"
    learning_rate: ClassVar[float] = 1e-3  # of the 20 steps
    falls_to: ClassVar[float] = 0.9  # the loss after 20 steps on one batch, over the loss before
    state_is_complete: ClassVar[bool] = True  # False: state_dict alone does not repeat the next step

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
        assert all(bool((weight == old).all()) for weight, old in zip(model.parameters(), before, strict=True))

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

    @staticmethod
    def _step(model: Any, optimizer: Any, batch: dict[str, Any]) -> None:
        optimizer.zero_grad()
        mean_loss(model, batch).backward()
        optimizer.step()
