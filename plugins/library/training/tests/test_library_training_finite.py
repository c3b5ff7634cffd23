"""The guard of a run's numbers: what it keeps, and what it says."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tunesmith_library_training import processes
from tunesmith_library_training.finite import Guard, NonFinite, watch_gradients


class Letters:
    def decode(self, tokens: list[int]) -> str:
        return "".join(map(chr, tokens))


def guard(tmp_path: Path, model: Any = None) -> Guard:
    train = [{"chosen_input_ids": [ord(letter) for letter in f"row\n {place}"]} for place in range(100)]
    job: Any = SimpleNamespace(model=model, output_dir=tmp_path, processor=Letters(), data=SimpleNamespace(train=train))
    return Guard(job)


def test_says_where_it_began(tmp_path: Path) -> None:
    watching = guard(tmp_path)
    watching.see("loss", torch.tensor(1.0), 1, [3])
    watching.see("loss", torch.tensor(math.inf), 2, list(range(50)))
    watching.see("gradient", math.nan, 2, [60])
    with pytest.raises(NonFinite) as caught:
        watching.check()
    first, examples, *_ = str(caught.value).splitlines()
    assert first == "step 2: the loss is inf (non_finite). The run ends here; nothing of it is saved."
    named = [f"{place} (“row {place}”)" for place in range(8)] + [str(place) for place in range(8, 32)]
    assert examples.strip() == f"examples, by their place in the training data: {', '.join(named)} and 18 more"


def test_finite_numbers_are_forgotten(tmp_path: Path) -> None:
    """However seldom a run is logged; what was not finite is kept."""
    watching = guard(tmp_path)
    for step in range(5000):
        watching.see("loss", torch.tensor(float(step)), step, [step])
        assert len(watching._seen) < 512
    watching.check()
    watching.see("gradient", torch.tensor(math.nan), 5000, ["a prompt"])
    for step in range(5001, 7000):
        watching.see("loss", torch.tensor(math.nan), step)
    with pytest.raises(NonFinite, match=r"^step 5000: the gradient is nan[^\n]*\n  examples[^\n]*: “a prompt”\n"):
        watching.check()


def test_of_several_processes_the_one_whose_loss_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients are shared, so that all see one that is not finite; the examples are those of the loss."""
    mine, others = guard(tmp_path), guard(tmp_path)
    mine.see("gradient", math.nan, 4, [1, 2])
    others.see("loss", math.nan, 4, [7])
    others._read()
    monkeypatch.setattr(processes, "gathered", lambda item: [item, (others._bad, [], [])])
    with pytest.raises(NonFinite, match=r"^step 4: the loss is nan.*\n.*: 7 \(“row 7”\)\n"):
        mine.check()


def test_weights(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    guard(tmp_path).check(model)
    with torch.no_grad():
        model.bias[1] = math.nan
    with pytest.raises(NonFinite, match=r"^trained weights are not finite: bias"):
        guard(tmp_path).check(model)


@pytest.mark.parametrize("frozen", [True, False])
def test_weights_that_were_broken_before(tmp_path: Path, frozen: bool) -> None:
    """No learning rate is blamed for what the base brought, trained or not; nor the base for what a run broke."""
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2).requires_grad_(False))
    whole = guard(tmp_path, model)
    with torch.no_grad():
        model[int(frozen)].bias[1] = math.inf
    for watching, base in ((guard(tmp_path, model), True), (whole, frozen)):
        watching.see("loss", math.nan, 1, [0])
        with pytest.raises(NonFinite, match=r"^step 1: the loss is nan") as caught:
            watching.check()
        assert (f"before the first step: {int(frozen)}.bias\n" in str(caught.value)) == base
        assert ("try a lower learning rate" in str(caught.value)) != base


def test_a_scaler_sees_to_overflows_itself() -> None:
    seen: list[Any] = []

    def clip(parameters: Any, max_norm: float) -> float:
        return max_norm * 2

    for scaler in (None, object()):
        accelerator = SimpleNamespace(scaler=scaler, clip_grad_norm_=clip)
        watch_gradients(accelerator, seen.append)
        assert accelerator.clip_grad_norm_([], 3.0) == 6.0
    assert seen == [6.0]
