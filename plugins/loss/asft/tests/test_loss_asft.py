"""Anchored fine-tuning against its formula in float64, with a reference of each kind."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tunesmith import TunesmithError
from tunesmith.errors import ConfigError
from tunesmith.traits import ParallelTraits
from tunesmith.types import DatasetSplits, LossOutput, TrainingJob
from tunesmith_library_testing import LossSuite
from tunesmith_library_testing.parts import StubPlan, collate, examples, load_plain
from tunesmith_loss_asft import AnchoredFineTuning, anchored_loss


class TestAnchoredFineTuning(LossSuite):
    plugin = AnchoredFineTuning

    def loss(self, model: Any, batch: dict[str, Any]) -> LossOutput:
        """The reference has other weights than the model, so that the divergence counts."""
        loss = self.make(alpha=2.0)
        reference = copy.deepcopy(model).requires_grad_(False).eval()
        generator = torch.Generator().manual_seed(5)
        for weight in reference.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
        loss._loaded = reference
        return loss.compute_loss(model=model, batch=batch)

    deviations = {"test_lowers_itself": "-p log p rises with p, up to p = 1/e"}

    def test_lowers_itself(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """A strong anchor draws the model to its reference."""
        model, batch, reference = load_plain(tiny_llama), collate(examples(tiny_bpe)), shifted(tiny_llama)
        loss = AnchoredFineTuning(alpha=100.0)
        loss._loaded = reference
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
        values = []
        for _ in range(20):
            output = loss.compute_loss(model=model, batch=batch)
            values.append(output.loss.item())
            optimizer.zero_grad()
            (output.loss / output.num_items).backward()
            optimizer.step()
        assert values[-1] < 0.5 * values[0]


def shifted(folder: Path, seed: int = 3) -> Any:
    """The tiny model with other weights, frozen."""
    model = load_plain(folder)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
    return model.requires_grad_(False)


def formula(logits: torch.Tensor, labels: torch.Tensor, reference: torch.Tensor, alpha: float) -> torch.Tensor:
    """Written out with probabilities."""
    p, q = logits.softmax(-1), reference.softmax(-1)
    chosen = p[torch.arange(len(labels)), labels]
    return -chosen.detach() * chosen.log() + alpha * (q * (q / p).log()).sum(-1)


def formula_of(model: Any, reference: Any, rows: list[dict[str, Any]], alpha: float) -> torch.Tensor:
    """The formula on the whole logits of one example after the other, in float64."""
    total = torch.zeros((), dtype=torch.float64)
    for row in rows:
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"])[1:]
        logits, theirs = model(input_ids=ids).logits[0, :-1], reference(input_ids=ids).logits[0, :-1].detach()
        trained = labels != -100
        total = total + formula(logits[trained], labels[trained], theirs[trained], alpha).sum()
    return total


def job_of(model: Any) -> TrainingJob:
    empty: Any = None
    return TrainingJob(model, empty, DatasetSplits([]), Path("."), 0, "fp32", False, empty, empty, empty, empty)


def assert_gradients(model: Any, plain: Any, tolerance: float = 1e-3) -> None:
    expected = {name: weight.grad for name, weight in plain.named_parameters() if weight.grad is not None}
    assert expected
    for name, weight in model.named_parameters():
        if name in expected:
            error = (weight.grad - expected[name]).abs().max() / expected[name].abs().max().clamp(min=1e-6)
            assert error < tolerance, name


def test_values_and_gradients_are_the_formula() -> None:
    generator = torch.Generator().manual_seed(1)
    values, reference = (2 * torch.randn(2, 9, 40, generator=generator, dtype=torch.float64)).unbind()
    labels = torch.randint(40, (9,), generator=generator)
    ours, theirs = values.clone().requires_grad_(), values.clone().requires_grad_()
    losses, expected = anchored_loss(ours, labels, reference, 0.3), formula(theirs, labels, reference, 0.3)
    losses.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(losses, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("padding_free", [True, False])
@pytest.mark.parametrize("chunk_size", [3, 0])
def test_second_model(chunk_size: int, padding_free: bool, tiny_llama: Path, tiny_bpe: Any) -> None:
    """All weights are trained: the reference is what `load` gives for the trained model's address."""
    rows, model, loss = examples(tiny_bpe), load_plain(tiny_llama), AnchoredFineTuning(alpha=0.7)
    values = {"stage.loss_chunk_size": chunk_size, "model.path": "a/model"}
    loss.configured(plan=StubPlan({"loss": {"asft": loss}}, values=values))
    asked = []
    loss.prepare(
        job=job_of(model), load=lambda address, adapter=None: asked.append((address, adapter)) or shifted(tiny_llama)
    )
    assert asked == [("a/model", None)]
    output = loss.compute_loss(model=model, batch=collate(rows, padding_free))
    output.loss.backward()
    plain = load_plain(tiny_llama).double()
    expected = formula_of(plain, shifted(tiny_llama).double(), rows, 0.7)
    expected.backward()
    torch.testing.assert_close(output.loss.double(), expected, rtol=1e-4, atol=1e-5)
    assert_gradients(model, plain)


def fresh(folder: Path, **options: Any) -> Any:
    """The tiny model with LoRA that is not trained yet."""
    config = LoraConfig(**{"r": 4, "lora_dropout": 0.5, "target_modules": ["q_proj", "down_proj"], **options})
    return get_peft_model(load_plain(folder), config)


def moved(model: Any) -> Any:
    """LoRA's matrices and saved modules far from their start."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    return model


@pytest.mark.parametrize("options", [{}, {"modules_to_save": ["lm_head"]}], ids=["frozen_head", "trained_head"])
def test_adapter_switched_off(options: dict[str, Any], tiny_llama: Path, tiny_bpe: Any) -> None:
    """The reference is the base: no other model is loaded, and the adapter is on and trained as before."""
    rows, model, loss = examples(tiny_bpe), fresh(tiny_llama, **options).eval(), AnchoredFineTuning(alpha=0.7)

    def load(address: str, adapter: str | None = None) -> Any:
        raise AssertionError("nothing is to be loaded")

    loss.prepare(job=job_of(model), load=load)
    moved(model)
    plain = copy.deepcopy(model).double()
    expected = formula_of(plain, load_plain(tiny_llama).double(), rows, 0.7)
    expected.backward()
    output = loss.compute_loss(model=model, batch=collate(rows, padding_free=True))
    output.loss.backward()
    torch.testing.assert_close(output.loss.double(), expected, rtol=1e-4, atol=1e-5)
    assert_gradients(model, plain)


def test_reference_has_no_dropout(tiny_llama: Path, tiny_bpe: Any) -> None:
    """In training too the reference is the base itself, and training mode returns."""
    from tunesmith_loss_asft.reference import reference_logits

    model, batch = moved(fresh(tiny_llama)).train(), collate(examples(tiny_bpe)[:1])
    logits = reference_logits(model, None, batch)(slice(0, None))
    ids = batch["input_ids"]
    trained = batch["labels"][0, 1:] != -100
    expected = load_plain(tiny_llama)(input_ids=ids).logits[0, :-1][trained]
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
    assert model.training and all(module.training for module in model.modules())
    assert any(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize("start", ["pissa", "trained"])
def test_adapter_that_does_not_begin_as_its_base(start: str, tiny_llama: Path) -> None:
    """One that changes the base, and one that was trained before: the reference is what they were."""
    model = moved(fresh(tiny_llama)) if start == "trained" else fresh(tiny_llama, init_lora_weights=start)
    loss, asked = AnchoredFineTuning(), []
    values = {"model.path": "a/model", "adapter.path": "runs/before"}
    loss.configured(plan=StubPlan({"loss": {"asft": loss}}, values=values))
    loss.prepare(job=job_of(model), load=lambda *given, **named: asked.append((given, named)) or "another")
    assert asked == [(("a/model",), {"adapter": "runs/before"})] and loss._loaded == "another"


def test_named_reference(tiny_llama: Path) -> None:
    loss, asked = AnchoredFineTuning(reference="org/teacher", reference_adapter="runs/x"), []
    loss.prepare(job=job_of(fresh(tiny_llama)), load=lambda *given, **named: asked.append((given, named)))
    assert asked == [(("org/teacher",), {"adapter": "runs/x"})]


def test_no_reference(tiny_llama: Path, tiny_bpe: Any) -> None:
    with pytest.raises(TunesmithError, match="no adapter"):
        AnchoredFineTuning().compute_loss(model=load_plain(tiny_llama), batch=collate(examples(tiny_bpe)))


def test_check() -> None:
    plan = StubPlan({"stage": {"mine": None}}, values={"trainer.fsdp": "full_shard"})
    problems = AnchoredFineTuning().check(plan=plan)
    assert [problem.key for problem in problems] == ["loss", "loss"] and "stage=mine" in problems[0].message
    for spreads in ("deepspeed", "fsdp", ""):
        several = SimpleNamespace(traits=ParallelTraits(processes=2, spreads=spreads))
        found = AnchoredFineTuning().check(plan=StubPlan({"parallel": {"mine": several}}))
        assert [problem.advice for problem in found if "in pieces" in problem.message] == (
            ["parallel=fsdp or ddp, or loss=dft"] if spreads == "deepspeed" else []
        )
    with pytest.raises(ConfigError, match=r"loss\.alpha cannot be -1\.0"):
        TestAnchoredFineTuning.make(alpha=-1.0)
