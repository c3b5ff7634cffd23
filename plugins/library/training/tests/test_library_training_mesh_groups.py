"""States of an optimizer whose groups are divided by device mesh go to those of one process, and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tunesmith_library_training.mesh_groups import MeshGroups


@pytest.fixture
def weights() -> Iterator[list[torch.Tensor]]:
    """Six, of which those with an odd number are spread over a mesh."""
    from torch import distributed
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import distribute_tensor
    from torch.testing._internal.distributed.fake_pg import FakeStore

    distributed.init_process_group("fake", rank=0, world_size=1, store=FakeStore())
    try:
        mesh = init_device_mesh("cpu", (1,))
        plain = [torch.full((2,), float(number)) for number in range(6)]
        spread = [distribute_tensor(value, mesh) if number % 2 else value for number, value in enumerate(plain)]
        yield [torch.nn.Parameter(value) for value in spread]
    finally:
        distributed.destroy_process_group()


def stepped(groups: list[list[torch.Tensor]], decays: list[float]) -> Any:
    """An optimizer of these groups after a step in which each weight's gradient is its number."""
    optimizer = torch.optim.AdamW(
        [{"params": group, "weight_decay": decay} for group, decay in zip(groups, decays, strict=True)],
        foreach=False,
    )
    for group in groups:
        for weight in group:
            weight.grad = weight.detach().clone()
    optimizer.step()
    return optimizer


def firsts_of(state: dict[int, Any]) -> dict[int, float]:
    """By the number of a weight, its mean of gradients, which tells which weight it is."""
    local = {number: getattr(kept["exp_avg"], "_local_tensor", kept["exp_avg"]) for number, kept in state.items()}
    return {number: round(float(mean[0]) * 10, 4) for number, mean in local.items()}


def test_states_are_numbered_as_in_one_process(weights: list[torch.Tensor]) -> None:
    one = [weights[:4], weights[4:]]
    own = [weights[0:4:2], weights[1:4:2], [weights[4]], [weights[5]]]
    groups = MeshGroups.found(own, one)
    assert groups is not None
    optimizer = stepped(own, [0.1, 0.1, 0.0, 0.0])
    before = firsts_of(optimizer.state_dict()["state"])
    assert before == {0: 0.0, 1: 2.0, 2: 1.0, 3: 3.0, 4: 4.0, 5: 5.0}
    kept = groups.state_of_one(optimizer.state_dict())
    assert firsts_of(kept["state"]) == {number: float(number) for number in range(6)}
    assert [group["params"] for group in kept["param_groups"]] == [[0, 1, 2, 3], [4, 5]]
    assert [group["weight_decay"] for group in kept["param_groups"]] == [0.1, 0.0]
    state, numbered = groups.own_state(kept)
    assert all(weight is other for weight, other in zip(numbered, weights, strict=True))
    again = torch.optim.AdamW([{"params": group} for group in own])
    again.load_state_dict(state)
    assert firsts_of(again.state_dict()["state"]) == before
    assert [group["weight_decay"] for group in again.param_groups] == [0.1, 0.1, 0.0, 0.0]
    plain = torch.optim.AdamW([{"params": [torch.zeros(2) for _ in group]} for group in one])
    plain.load_state_dict(kept)


def test_a_group_without_weights_is_there_in_one_process(weights: list[torch.Tensor]) -> None:
    groups = MeshGroups.found([weights[::2], weights[1::2]], [weights, []])
    assert groups is not None
    kept = groups.state_of_one(stepped([weights[::2], weights[1::2]], [0.1, 0.1]).state_dict())
    assert [group["params"] for group in kept["param_groups"]] == [[0, 1, 2, 3, 4, 5], []]
    state, _ = groups.own_state(kept)
    assert [group["params"] for group in state["param_groups"]] == [[0, 2, 4], [1, 3, 5]]


def test_numbers_of_the_same_division_are_read(weights: list[torch.Tensor]) -> None:
    own = [weights[0:4:2], weights[1:4:2], [weights[4]], [weights[5]]]
    groups = MeshGroups.found(own, [weights[:4], weights[4:]])
    assert groups is not None
    earlier = stepped(own, [0.1, 0.1, 0.0, 0.0]).state_dict()
    state, numbered = groups.own_state(earlier)
    assert state is earlier
    assert [id(weight) for weight in numbered] == [id(weights[number]) for number in (0, 2, 1, 3, 4, 5)]


def test_schedules_have_values_for_the_groups_of_one_process(weights: list[torch.Tensor]) -> None:
    groups = MeshGroups.found([weights[0:4:2], weights[1:4:2], [weights[4]], [weights[5]]], [weights[:4], weights[4:]])
    assert groups is not None
    own = {"class": "LambdaLR", "state": {"base_lrs": [1, 1, 2, 2], "last_epoch": 3}, "peaks": [3, 3, 4, 4]}
    one = {"class": "LambdaLR", "state": {"base_lrs": [1, 2], "last_epoch": 3}, "peaks": [3, 4]}
    assert groups.schedule_of_one(own) == one
    assert groups.own_schedule(one) == own
    assert groups.own_schedule(own) == own  # of the same division


def test_other_groups_are_left_alone(weights: list[torch.Tensor]) -> None:
    one = [weights[:4], weights[4:]]
    assert MeshGroups.found(one, one) is None
    assert MeshGroups.found([weights[::2], []], [weights[::2], []]) is None
    assert MeshGroups.found([weights[:1], weights[1:]], one) is None  # an optimizer's own
