"""An optimizer's groups as one process has them, where transformers divides them by device mesh.

Weights on several device meshes (`parallel.tensor`, `parallel.experts`) are not stepped by one kernel, so that
transformers' Trainer makes a group for each mesh, and leaves out empty ones. Checkpoints number weights and groups:
they hold those of one process, whatever the division.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.distributed.tensor import DTensor

State = dict[str, Any]

_STATE, _GROUPS, _WEIGHTS = "state", "param_groups", "params"  # of an optimizer's `state_dict`
_BY_GROUP = ("base_lrs", "_last_lr", "lr_lambdas", "min_lrs", "max_lrs", "_init_lrs", "peaks")  # of a schedule's


@dataclass(frozen=True)
class MeshGroups:
    """Which weight of an optimizer is which of one process's."""

    weights: list[torch.Tensor]  # in the order of one process
    sizes: list[int]  # of the groups of one process
    numbers: list[list[int]]  # by the optimizer's group, of its weights in `weights`

    @classmethod
    def found(cls, own: Sequence[Sequence[torch.Tensor]], one: Sequence[Sequence[torch.Tensor]]) -> MeshGroups | None:
        """None where the groups are not one process's, divided by mesh.

        Args:
            own: the optimizer's weights by group.
            one: those that one process has, also empty ones.
        """
        divided = [part for group in one for part in _by_mesh(group)]
        if len(divided) == len([group for group in one if group]) or _identities(own) != _identities(divided):
            return None
        weights = [weight for group in one for weight in group]
        number = {id(weight): place for place, weight in enumerate(weights)}
        return cls(
            weights, [len(group) for group in one], [[number[id(weight)] for weight in group] for group in divided]
        )

    @property
    def origins(self) -> list[int]:
        """By the optimizer's group, which of one process's it is a part of."""
        of = [place for place, size in enumerate(self.sizes) for _ in range(size)]
        return [of[group[0]] for group in self.numbers]

    @property
    def firsts(self) -> list[int]:
        """By group of one process, which of the optimizer's has its options; of an empty one the first."""
        origins = self.origins
        return [origins.index(place) if size else 0 for place, size in enumerate(self.sizes)]

    def state_of_one(self, state: State) -> State:
        """The optimizer's `state_dict`, as one process has it."""
        flat = [number for group in self.numbers for number in group]
        states = {flat[place]: kept for place, kept in state[_STATE].items()}
        groups, begin = [], 0
        for first, size in zip(self.firsts, self.sizes, strict=True):
            groups.append({**state[_GROUPS][first], _WEIGHTS: list(range(begin, begin + size))})
            begin += size
        return {**state, _STATE: dict(sorted(states.items())), _GROUPS: groups}

    def own_state(self, state: State) -> tuple[State, list[torch.Tensor]]:
        """The `state_dict` of one process, in the optimizer's groups.

        One that has other groups is given as it is: earlier versions wrote those of the same division.

        Returns: the state, and the weights by the numbers in it.
        """
        if [len(group[_WEIGHTS]) for group in state[_GROUPS]] != self.sizes:
            return state, [self.weights[number] for group in self.numbers for number in group]
        groups = [
            {**state[_GROUPS][origin], _WEIGHTS: group}
            for origin, group in zip(self.origins, self.numbers, strict=True)
        ]
        return {**state, _GROUPS: groups}, self.weights

    def schedule_of_one(self, schedule: State) -> State:
        """A schedule's `state_dict`, or a dict that holds one, as one process has it."""
        return _picked(schedule, len(self.numbers), self.firsts)

    def own_schedule(self, schedule: State) -> State:
        """What `schedule_of_one` gave, by the optimizer's groups."""
        return _picked(schedule, len(self.sizes), self.origins)


def _by_mesh(weights: Sequence[torch.Tensor]) -> list[list[torch.Tensor]]:
    """A group as transformers' Trainer divides it."""
    found: dict[Any, list[torch.Tensor]] = {}
    for weight in weights:
        found.setdefault(weight.device_mesh if isinstance(weight, DTensor) else None, []).append(weight)
    return list(found.values())


def _identities(groups: Sequence[Sequence[torch.Tensor]]) -> list[list[int]]:
    return [[id(weight) for weight in group] for group in groups]


def _picked(schedule: State, count: int, places: Sequence[int]) -> State:
    """A schedule with other groups: the values that it has by group are taken from `places`, where it has `count`."""

    def picked(name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return _picked(value, count, places)
        by_group = name in _BY_GROUP and isinstance(value, list | tuple) and len(value) == count
        return [value[place] for place in places] if by_group else value

    return {name: picked(name, value) for name, value in schedule.items()}
