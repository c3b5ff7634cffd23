"""What is written as safetensors comes back bit by bit, of its kind, and without running anything."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tunesmith import TunesmithError
from tunesmith_library_training import processes, states


def back(state: Any, folder: Path) -> Any:
    states.write(folder / "state.safetensors", state)
    return states.read(folder / "state.safetensors")


def test_kinds_come_back_as_they_were(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    state = {
        "state": {0: {"step": torch.tensor(3.0), "half": torch.ones(2, dtype=torch.bfloat16)}, 1: {}},
        "groups": [{"betas": (0.9, 0.999), "lr": 1e-3, "names": [], "nothing": None, "fused": True}],
        "edges": [math.inf, -math.inf, 0.1 + 0.2, 2**70, "", "é"],
        "dtype": torch.float16,
        "views": [shared[:3], shared[::2], shared.view(2, 3).T],
        "empty": torch.empty(0, 3),
        ("a", 1): "keys may be tuples",
    }
    found = back(state, tmp_path)
    assert found["state"][0]["half"].dtype is torch.bfloat16 and found["state"][0]["step"].shape == ()
    assert found["groups"] == state["groups"] and isinstance(found["groups"][0]["betas"], tuple)
    assert found["groups"][0]["fused"] is True
    assert found["edges"] == state["edges"] and found["dtype"] is torch.float16 and ("a", 1) in found
    assert all(torch.equal(a, b) for a, b in zip(found["views"], state["views"], strict=True))
    assert found["empty"].shape == (0, 3)
    assert math.isnan(back(math.nan, tmp_path))


@pytest.mark.parametrize(
    "made",
    [
        lambda weights: torch.optim.AdamW(weights, 1e-2, weight_decay=0.1),
        lambda weights: torch.optim.SGD(weights, 1e-2, momentum=0.9),
        lambda weights: torch.optim.Adafactor(weights, 1e-2),
        lambda weights: torch.optim.LBFGS(weights, 1e-2),
    ],
)
def test_optimizers_go_on_as_if_nothing_had_been(made: Any, tmp_path: Path) -> None:
    """Against torch's own deep copies: two steps, written, two more."""

    def model() -> torch.nn.Module:
        torch.manual_seed(0)
        return torch.nn.Linear(5, 3)

    def steps(model: torch.nn.Module, optimizer: Any, count: int) -> None:
        for _ in range(count):
            optimizer.step(lambda: _backward(model, optimizer))

    whole, cut = model(), model()
    one, two = made(whole.parameters()), made(cut.parameters())
    steps(whole, one, 4)
    steps(cut, two, 2)
    state = back(two.state_dict(), tmp_path)
    two = made(cut.parameters())
    two.load_state_dict(state)
    steps(cut, two, 2)
    assert torch.equal(whole.weight, cut.weight)


def _backward(model: torch.nn.Module, optimizer: Any) -> torch.Tensor:
    optimizer.zero_grad()
    loss = model(torch.linspace(-1, 1, 20).view(4, 5)).square().mean()
    loss.backward()
    return loss


def test_random_numbers_go_on(tmp_path: Path) -> None:
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    np.random.normal()  # of a pair, the second is kept for later
    state = back(states.random_state(), tmp_path)
    expected = random.random(), np.random.normal(), torch.rand(3).tolist()
    random.seed(9), np.random.seed(9), torch.manual_seed(9)
    states.set_random_state(state)
    assert (random.random(), np.random.normal(), torch.rand(3).tolist()) == expected


def test_shares_draw_other_numbers_and_those_of_one_share_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of six processes, each two of which see the same examples; after another step they draw others again."""
    monkeypatch.setattr(processes, "count", lambda: 6)
    monkeypatch.setattr(processes, "_alike", 2)
    before = torch.random.get_rng_state()

    def drawn(rank: int, step: int) -> tuple[float, ...]:
        monkeypatch.setattr(processes, "rank", lambda: rank)
        state = states.random_state_of_share(2**32 - 1, step)
        assert torch.equal(torch.random.get_rng_state(), before), "nothing is drawn meanwhile"
        generator = torch.Generator()
        generator.set_state(state["cpu"])
        numpy = np.random.RandomState()
        numpy.set_state(state["numpy"])
        python = random.Random()
        python.setstate(state["python"])
        return python.random(), numpy.rand(), torch.rand((), generator=generator).item()

    found = [drawn(rank, step) for step in (0, 7) for rank in range(6)]
    assert found[::2] == found[1::2] and len({numbers for each in found for numbers in each}) == 3 * 6


def test_tensors_of_several_parts(tmp_path: Path) -> None:
    """8-bit states are such; their class is one that its library declared safe, and no other."""
    from torchao.optim.subclass_8bit import OptimState8bit

    state = OptimState8bit.zeros((4, 256), signed=True, block_size=256)
    state.copy_(torch.randn(4, 256))
    found = back({"exp_avg": state}, tmp_path)["exp_avg"]
    assert type(found) is OptimState8bit and torch.equal(found.dequantize(), state.dequantize())
    assert torch.equal(found.codes, state.codes) and found.signed is True


def test_what_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TunesmithError, match=r"state\.hook is a function"):
        states.write(tmp_path / "a", {"hook": back})
    monkeypatch.setattr(
        states, "_packed_tensor", lambda *_: {"class": "os.system", "parts": [], "context": 0, "size": [], "stride": []}
    )
    with pytest.raises(TunesmithError, match=r"holds a os\.system"):
        back(torch.ones(1), tmp_path)
