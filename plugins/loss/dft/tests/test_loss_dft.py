"""Dynamic fine-tuning against its formula in float64, TRL's trainer, and the gradient of a reward."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from tunesmith.traits import StageTraits
from tunesmith_library_testing import LossSuite
from tunesmith_library_testing.parts import StubPlan, collate, examples, load_plain, mean_loss
from tunesmith_loss_dft import DynamicFineTuning, dynamic_loss


class TestDynamicFineTuning(LossSuite):
    plugin = DynamicFineTuning

    deviations: ClassVar[dict[str, str]] = {"test_lowers_itself": "-p log p rises with p, up to p = 1/e"}

    def test_lowers_itself(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """Twenty steps lower the cross entropy."""
        model, batch = load_plain(tiny_llama), collate(examples(tiny_bpe))
        before = mean_loss(model, batch).item()
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
        for _ in range(20):
            output = self.loss(model, batch)
            optimizer.zero_grad()
            (output.loss / output.num_items).backward()
            optimizer.step()
        assert mean_loss(model, batch).item() < 0.9 * before


def formula(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of each token and its gradient in the logits, by hand: p · (softmax - onehot)."""
    probabilities = logits.softmax(-1)
    chosen = probabilities[torch.arange(len(labels)), labels]
    gradient = chosen[:, None] * (probabilities - torch.nn.functional.one_hot(labels, logits.shape[-1]))
    return -chosen * chosen.log(), gradient


def test_values_and_gradients_are_the_formula() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = (4 * torch.randn(12, 50, generator=generator, dtype=torch.float64)).requires_grad_()
    labels = torch.randint(50, (12,), generator=generator)
    losses = dynamic_loss(logits, labels)
    losses.sum().backward()
    expected, gradient = formula(logits.detach(), labels)
    torch.testing.assert_close(losses, expected)
    torch.testing.assert_close(logits.grad, gradient)


def test_in_chunks_and_in_accumulated_batches(tiny_llama: Path, tiny_bpe: Any) -> None:
    """Any chunk size, and the examples one by one: the formula on all logits at once, with its gradients."""
    rows = examples(tiny_bpe)
    plain, batch = load_plain(tiny_llama).double(), collate(rows)
    logits = plain(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    labels = batch["labels"][:, 1:]
    probability = logits.log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    expected = -(probability.exp().detach() * probability)[labels != -100].sum()
    expected.backward()
    for chunk_size in (0, 3):
        model, loss = load_plain(tiny_llama), DynamicFineTuning()
        loss.configured(plan=StubPlan({"loss": {"dft": loss}}, values={"stage.loss_chunk_size": chunk_size}))
        outputs = [loss.compute_loss(model=model, batch=collate([row], padding_free=True)) for row in rows]
        total = sum(output.loss for output in outputs)
        total.backward()
        torch.testing.assert_close(total.double(), expected, rtol=1e-4, atol=1e-6)
        for (name, weight), reference in zip(model.named_parameters(), plain.parameters(), strict=True):
            error = (weight.grad - reference.grad).abs().max() / reference.grad.abs().max()
            assert error < 1e-3, name


@pytest.mark.slow
def test_is_trls(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    """TRL's SFTTrainer with loss_type="dft" gives the same mean and gradients."""
    import datasets
    import trl

    model, rows = load_plain(tiny_llama), examples(tiny_bpe)
    arguments = trl.SFTConfig(
        str(tmp_path), loss_type="dft", report_to="none", use_cpu=True, bf16=False, gradient_checkpointing=False
    )
    trainer = trl.SFTTrainer(
        model, arguments, train_dataset=datasets.Dataset.from_list(rows), processing_class=tiny_bpe
    )
    batch = trainer.data_collator(rows)
    theirs = trainer.compute_loss(trainer.model.eval(), batch)
    theirs.backward()
    plain = load_plain(tiny_llama)
    ours = DynamicFineTuning().compute_loss(model=plain, batch=collate(rows))
    (ours.loss / ours.num_items).backward()
    torch.testing.assert_close(ours.loss / ours.num_items, theirs, rtol=1e-4, atol=1e-7)
    for weight, reference in zip(plain.parameters(), trainer.model.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, reference.grad, rtol=1e-3, atol=1e-6)


def test_refuses_other_objectives() -> None:
    """A stage says itself whether its loss is of tokens; its name does not matter."""
    loss, tokens = DynamicFineTuning(), SimpleNamespace(traits=StageTraits(token_loss=True))
    assert not loss.check(plan=StubPlan({"loss": {"dft": loss}, "stage": {"mine": tokens}}))
    assert not loss.check(plan=StubPlan({"loss": {"dft": loss}}, command="chat"))
    (problem,) = loss.check(plan=StubPlan({"loss": {"dft": loss}, "stage": {"mine": None}}))
    assert problem.key == "loss" and problem.message.startswith("loss=dft weighs the tokens of a text; stage=mine")
