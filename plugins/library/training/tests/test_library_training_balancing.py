"""The balance loss over several processes adds up to that of their examples in one batch, gradients included."""

from types import SimpleNamespace

import pytest
import torch
from tunesmith_library_testing.parts import collate, examples, load_plain
from tunesmith_library_training import balancing, processes
from tunesmith_library_training.routing import choose_balance
from tunesmith_library_training.token_loss import token_loss


@pytest.fixture
def model(tiny_mixtures):
    model = load_plain(tiny_mixtures["mixtral"])
    choose_balance(model, "on", 0.3)
    return model


class Others:
    """Stands for the sums over two processes that are computed here one after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[torch.Tensor] = []
        self.sum: torch.Tensor | None = None
        monkeypatch.setattr(processes, "shares", lambda: 2)
        monkeypatch.setattr(processes, "any_of", bool)
        monkeypatch.setattr(processes, "total", self.total)

    def total(self, told: torch.Tensor) -> torch.Tensor:
        self.told.append(told)
        return told if self.sum is None else self.sum


def gradients(model, batches) -> tuple[float, list[torch.Tensor]]:
    model.zero_grad()
    loss = torch.stack([token_loss(model, batch).loss for batch in batches]).sum()
    loss.backward()
    return loss.item(), [layer.mlp.gate.weight.grad.clone() for layer in model.model.layers]


@pytest.mark.parametrize("padding_free", [True, False])
def test_two_processes_balance_as_one(model, tiny_bpe, monkeypatch, padding_free: bool) -> None:
    rows = examples(tiny_bpe)
    parts = [collate(rows[:1], padding_free), collate(rows[1:], padding_free)]
    expected = gradients(model, [collate(rows, padding_free)])
    assert gradients(model, parts)[0] != pytest.approx(expected[0], rel=1e-6)  # of each alone
    others = Others(monkeypatch)
    gradients(model, parts)
    others.sum = torch.stack(others.told).sum(dim=0)
    found = gradients(model, parts)
    assert found[0] == pytest.approx(expected[0], rel=1e-6)
    for gradient, one in zip(found[1], expected[1], strict=True):
        torch.testing.assert_close(gradient, one, rtol=1e-4, atol=1e-6)


def test_a_batch_that_counts_nothing(model, tiny_bpe, monkeypatch) -> None:
    """It is told as nothing, and neither its value nor its gradient is infinite or no number."""
    others = Others(monkeypatch)
    others.sum = torch.tensor([3.0, 1.0, 2.0, 2.0, 4.0, 7.0], dtype=torch.float64)
    filler = {**collate(examples(tiny_bpe)[:1], False), "num_items": 0.0}
    output = token_loss(model, filler)
    assert not others.told[0].any()
    assert float(output.metrics["router_aux_loss"]) == 0.0 and output.loss.isfinite()


def test_evaluations_wait_for_nobody(model, tiny_bpe, monkeypatch) -> None:
    others = Others(monkeypatch)
    with torch.no_grad():
        token_loss(model, collate(examples(tiny_bpe), True))
    assert not others.told


def test_another_formula_stays(model, monkeypatch, caplog) -> None:
    """What is no balance loss as computed here is left as the model gives it."""
    Others(monkeypatch)
    logits = (torch.randn(5, 4),)
    outputs = SimpleNamespace(aux_loss=torch.tensor(9.0), router_logits=logits)
    balancing.over_processes(model, {}, outputs, 5.0)
    assert outputs.aux_loss.item() == 9.0
