"""Spread weights come together one at a time, are loaded in parts, and are written by parts; a checkpoint meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith_library_training import shard_files, sharding
from tunesmith_library_training.writing import Writing


@pytest.fixture
def spread(tmp_path: Path) -> Iterator[Any]:
    """A model with tied weights that FSDP spreads over the one process that there is, and its optimizer."""
    from torch import distributed, nn
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Embedding(6, 4), nn.Linear(4, 6, bias=False))
        model[1].weight = model[0].weight
        fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
        sharding.mark(model, sharding.Spread("fsdp", again=lambda other: None))
        optimizer = torch.optim.AdamW(model.parameters())
        model(torch.arange(6)).square().sum().backward()
        optimizer.step()
        yield model, optimizer
    finally:
        distributed.destroy_process_group()


def test_weights_come_together_and_are_loaded_in_parts(spread: Any) -> None:
    model, _ = spread
    found = sharding.gathered_weights(model)
    assert list(found) == ["0.weight", "1.weight"] and found["0.weight"] is found["1.weight"], "tied ones are one"
    assert type(found["0.weight"]) is torch.Tensor
    wanted = torch.randn(6, 4)
    model.load_state_dict({"0.weight": wanted, "1.weight": wanted})
    assert torch.equal(sharding.whole(model[0].weight), wanted)
    assert sharding.spread_of(model) is not None and sharding.spread_of(torch.nn.Linear(1, 1)) is None


def test_the_state_of_an_optimizer_goes_to_a_file_and_back_in_parts(spread: Any, tmp_path: Path) -> None:
    model, optimizer = spread
    whole = sharding.gathered_nested(optimizer.state_dict())
    assert all(type(value) is torch.Tensor for value in whole["state"][0].values())
    rest, parts = sharding.with_parts_apart(optimizer.state_dict())
    assert sorted(parts) == ["0.exp_avg", "0.exp_avg_sq"] and rest["state"][0]["exp_avg"] is torch.float32
    shard_files.write(tmp_path / "parts", parts)
    assert [file.suffix for file in (tmp_path / "parts").iterdir()] == [".safetensors"]
    for weights in (list(model.parameters()), [torch.zeros(6, 4)]):
        empty, wanted = sharding.with_parts_empty(rest, weights)
        shard_files.read(tmp_path / "parts", wanted)
        for name in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(sharding.whole(empty["state"][0][name]), whole["state"][0][name])
    optimizer.load_state_dict(sharding.take_parts(whole, list(model.parameters())))
    assert torch.equal(sharding.whole(optimizer.state_dict()["state"][0]["exp_avg"]), whole["state"][0]["exp_avg"])


def test_parts_that_do_not_fit_are_named(tmp_path: Path) -> None:
    shard_files.write(tmp_path / "parts", {"weight": torch.ones(2, 3)})
    with pytest.raises(TunesmithError, match=r"weight has the shape \(2, 3\) in it, and \(4, 3\) is wanted"):
        shard_files.read(tmp_path / "parts", {"weight": torch.empty(4, 3)})
    with pytest.raises(TunesmithError, match="bias is not in it"):
        shard_files.read(tmp_path / "parts", {"bias": torch.empty(4)})


def test_what_is_written_meanwhile_is_told_once_it_is_there() -> None:
    writing, may, told = Writing(), threading.Event(), []

    def write() -> bool:
        return may.wait(timeout=10)

    writing.settle()  # nothing was begun
    writing.begin(write, lambda: told.append("there"))
    writing.settle(wait=False)
    assert told == []
    may.set()
    writing.settle()
    writing.settle()
    assert told == ["there"]
    writing.begin(lambda: False, lambda: told.append("never"))
    writing.settle()
    assert told == ["there"]


def test_what_goes_wrong_meanwhile_is_raised() -> None:
    def write() -> bool:
        raise ValueError("a bad disk")

    writing = Writing()
    writing.begin(write, lambda: None)
    with pytest.raises(ValueError, match="a bad disk"):
        writing.settle()
