"""Entropy-adaptive fine-tuning against its formula in float64, and at its limits."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tunesmith.errors import ConfigError
from tunesmith_library_testing import LossSuite
from tunesmith_library_testing.parts import StubPlan, collate, compute_loss, examples, load_plain
from tunesmith_loss_eaft import EntropyAdaptiveFineTuning, adaptive_loss


class TestEntropyAdaptiveFineTuning(LossSuite):
    plugin = EntropyAdaptiveFineTuning


def formula(logits: torch.Tensor, labels: torch.Tensor, alpha: float, top_k: int) -> torch.Tensor:
    """The weight from a sorted softmax that is normalised again, token by token."""
    losses = []
    for row, label in zip(logits, labels, strict=True):
        highest = sorted(row.detach().softmax(0).tolist(), reverse=True)[:top_k]
        shares = [value / sum(highest) for value in highest]
        entropy = -sum(share * math.log(share) for share in shares)
        losses.append((entropy / math.log(len(shares))) ** alpha * -row.log_softmax(0)[label])
    return torch.stack(losses)


def test_values_and_gradients_are_the_formula() -> None:
    generator = torch.Generator().manual_seed(1)
    for alpha, top_k, vocabulary in ((1.0, 20, 60), (0.5, 5, 60), (2.0, 20, 8)):
        values = 3 * torch.randn(9, vocabulary, generator=generator, dtype=torch.float64)
        labels = torch.randint(vocabulary, (9,), generator=generator)
        ours, theirs = values.clone().requires_grad_(), values.clone().requires_grad_()
        losses, expected = adaptive_loss(ours, labels, alpha, top_k), formula(theirs, labels, alpha, top_k)
        losses.sum().backward()
        expected.sum().backward()
        torch.testing.assert_close(losses, expected)
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_limits() -> None:
    """Where all tokens are alike it is the cross entropy; where one is certain it is nothing, without NaN."""
    labels = torch.tensor([3])
    even = torch.zeros(1, 40, requires_grad=True)
    torch.testing.assert_close(adaptive_loss(even, labels, 1.0, 20), F.cross_entropy(even, labels, reduction="none"))
    certain = torch.zeros(1, 40)
    certain[0, 7] = 300.0
    certain.requires_grad_()
    loss = adaptive_loss(certain, labels, 0.5, 20)
    loss.sum().backward()
    assert loss.item() == 0.0 and bool((certain.grad == 0).all())


def test_alpha_zero_is_cross_entropy_in_the_model(tiny_llama: Path, tiny_bpe: Any) -> None:
    model, batch = load_plain(tiny_llama), collate(examples(tiny_bpe), padding_free=False)
    expected = compute_loss(model, batch).loss
    torch.testing.assert_close(EntropyAdaptiveFineTuning(alpha=0.0).compute_loss(model, batch).loss, expected)


def test_in_chunks(tiny_llama: Path, tiny_bpe: Any) -> None:
    """In chunks within the model, padded and not: the formula on all logits at once."""
    rows = examples(tiny_bpe)
    plain = load_plain(tiny_llama).double()
    expected = torch.zeros((), dtype=torch.float64)
    for row in rows:
        logits, labels = plain(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1], torch.tensor(row["labels"])
        trained = labels[1:] != -100
        expected = expected + formula(logits[trained], labels[1:][trained], 1.0, 20).sum()
    expected.backward()
    for padding_free, chunk_size in ((True, 4), (False, 0)):
        model, loss = load_plain(tiny_llama), EntropyAdaptiveFineTuning()
        loss.configured(plan=StubPlan({"loss": {"eaft": loss}}, values={"stage.loss_chunk_size": chunk_size}))
        output = loss.compute_loss(model=model, batch=collate(rows, padding_free))
        output.loss.backward()
        torch.testing.assert_close(output.loss.double(), expected, rtol=1e-4, atol=1e-5)
        for (name, weight), reference in zip(model.named_parameters(), plain.parameters(), strict=True):
            error = (weight.grad - reference.grad).abs().max() / reference.grad.abs().max()
            assert error < 1e-3, name


@pytest.mark.parametrize(("option", "value"), [("alpha", -1.0), ("top_k", 1)])
def test_ranges(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"loss\.{option} cannot be {value}"):
        TestEntropyAdaptiveFineTuning.make(**{option: value})
