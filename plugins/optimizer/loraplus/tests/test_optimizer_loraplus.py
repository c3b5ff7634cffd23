"""LoRA+ against peft's own, and what it is not for."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import peft
import pytest
import torch
from peft.optimizers import create_loraplus_optimizer
from tunesmith import TunesmithError
from tunesmith.traits import AdapterTraits
from tunesmith.types import OptimizerSettings
from tunesmith.validate import structured
from tunesmith_library_testing import OptimizerSuite
from tunesmith_library_testing.parts import StubPlan, collate, examples, load_plain, mean_loss, train
from tunesmith_optimizer_loraplus import LoraPlus

SETTINGS = OptimizerSettings(1e-3, 0.1, 0.9, 0.999, 1e-8)


def with_lora(model: Any, **options: Any) -> Any:
    torch.manual_seed(0)
    config = {"r": 4, "target_modules": ["q_proj", "v_proj", "up_proj", "down_proj", "embed_tokens"], **options}
    return peft.get_peft_model(model, peft.LoraConfig(**config))


class TestLoraPlus(OptimizerSuite):
    """On a model that has LoRA beside weights that are trained whole: the suite trains those too."""

    plugin = LoraPlus
    deviations = {"test_lowers_the_loss": "the matrices of LoRA, beside a frozen model, need other rates"}

    def build(self, model: Any) -> Any:
        if not hasattr(model, "peft_config"):
            return super().build(_Beside(model))
        return super().build(model)

    def test_lowers_the_loss(self, tiny_llama, tiny_bpe) -> None:
        model = with_lora(load_plain(tiny_llama), target_modules="all-linear", modules_to_save=["lm_head"])
        frozen = {name: weight.clone() for name, weight in model.named_parameters() if not weight.requires_grad}
        losses = train(model, collate(examples(tiny_bpe)), optimizer=self.build(model))
        assert losses[-1] < self.falls_to * losses[0]
        weights = dict(model.named_parameters())
        assert all(torch.equal(weights[name], before) for name, before in frozen.items())


class _Beside(torch.nn.Module):
    """A model and one matrix by a name of LoRA's."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.lora_B = torch.nn.Linear(2, 2, bias=False)


def test_groups_are_pefts(tiny_llama) -> None:
    """Every weight has the rate and the decay that peft's create_loraplus_optimizer gives it."""
    model = with_lora(load_plain(tiny_llama), use_dora=False, modules_to_save=["lm_head"], bias="all")
    options = {"loraplus_lr_ratio": 16.0, "loraplus_lr_embedding": 5e-5, "loraplus_weight_decay": 0.1}
    reference = create_loraplus_optimizer(model, torch.optim.AdamW, lr=1e-3, **options)
    optimizer = LoraPlus(embedding_learning_rate=5e-5).build_optimizer(model=model, settings=SETTINGS)

    def rates(made: torch.optim.Optimizer) -> dict[int, tuple[float, float]]:
        return {id(w): (group["lr"], group["weight_decay"]) for group in made.param_groups for w in group["params"]}

    assert len(set(rates(optimizer).values())) == 3
    assert rates(optimizer) == rates(reference)


def test_vectors_learn_fast_without_decay(tiny_llama) -> None:
    model = with_lora(load_plain(tiny_llama), use_dora=True, target_modules=["q_proj"])
    optimizer = LoraPlus(ratio=8.0).build_optimizer(model=model, settings=SETTINGS)
    (group,) = [group for group in optimizer.param_groups if group["params"][0].ndim == 1]
    assert (group["lr"], group["weight_decay"], len(group["params"])) == (8e-3, 0.0, 2)


def test_ratio_one_is_adamw(tiny_llama, tiny_bpe) -> None:
    model, batch = with_lora(load_plain(tiny_llama), target_modules="all-linear"), collate(examples(tiny_bpe))
    twin = copy.deepcopy(model)
    optimizer = LoraPlus(ratio=1.0).build_optimizer(model=model, settings=SETTINGS)
    reference = torch.optim.AdamW([w for w in twin.parameters() if w.requires_grad], lr=1e-3, weight_decay=0.1)
    for _ in range(3):
        for network, chosen in ((model, optimizer), (twin, reference)):
            mean_loss(network, batch).backward()
            chosen.step()
            chosen.zero_grad()
    for weight, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-5, atol=1e-6)


def test_needs_lora(tiny_llama) -> None:
    with pytest.raises(TunesmithError, match=r"finds no LoRA matrices.*\n  adapter=lora"):
        LoraPlus().build_optimizer(model=load_plain(tiny_llama), settings=SETTINGS)
    (problem,) = LoraPlus().check(StubPlan({"adapter": {"full": None}}))
    assert problem.key == "optimizer" and "adapter=full has none" in problem.message
    beside = SimpleNamespace(traits=AdapterTraits(beside=True))
    (problem,) = LoraPlus().check(StubPlan({"adapter": {"mine": beside}}))
    assert problem.key == "optimizer" and "adapter=mine has none" in problem.message
    mine = SimpleNamespace(traits=AdapterTraits(beside=True, low_rank=True))
    assert LoraPlus().check(StubPlan({"adapter": {"mine": mine}})) == []


@pytest.mark.parametrize("values", [{"ratio": 0.0}, {"embedding_learning_rate": 0.0}])
def test_ranges(values) -> None:
    _, problems = structured(LoraPlus, values, ("optimizer",), "optimizer=loraplus")
    assert [str(problem.key) for problem in problems] == [f"optimizer.{name}" for name in values]
