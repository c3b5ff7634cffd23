"""Places for all processes of a run at once, and an actor in each, in an order in which neighbours share a machine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunesmith import TunesmithError, announce

from .cluster import held
from .process import Process, Where

if TYPE_CHECKING:
    from . import Ray

_STEP = 1.0  # seconds after which somebody who waits for room may want to go
_TRY = 5.0  # seconds in which room for a number of processes is found, if there is any
_BRIEF = 60.0  # seconds in which an actor that is there answers


@dataclass(frozen=True)
class Placed:
    """A process that can be started."""

    rank: int
    local_rank: int
    local_count: int  # processes of its machine
    where: Where
    devices: tuple[str, ...]  # of all processes of its machine, in the order of their local ranks
    actor: Any

    def ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        """What a method of it gives, with little delay."""
        import ray

        return ray.get(getattr(self.actor, method).remote(*arguments, **named), timeout=_BRIEF)


@contextlib.contextmanager
def placed(
    options: Ray, counts: Sequence[int], bundle: dict[str, float], going: Callable[[], bool]
) -> Iterator[list[Placed]]:
    """While entered, as many processes as there is room for have their places.

    Args:
        counts: how many there may be, the most first.
        bundle: what each reserves.
        going: whether to go on waiting.

    Raises: TunesmithError when there is no room.
    """
    import ray
    from ray.util import remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    group = _reserved(options, counts, bundle, going)
    actors: list[Any] = []
    try:
        if group is None:
            yield []
            return
        own = {name: amount for name, amount in bundle.items() if name not in ("CPU", "GPU")}
        reserved = {"num_cpus": bundle.get("CPU", 0), "num_gpus": bundle.get("GPU", 0), "resources": own or None}
        for index in range(group.bundle_count):
            place = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=index)
            actors.append(ray.remote(Process).options(**reserved, scheduling_strategy=place).remote())
        yield in_order(actors, ray.get([actor.where.remote() for actor in actors]))
    finally:
        for actor in actors:
            with contextlib.suppress(Exception):  # it is gone
                ray.get(actor.end.remote(), timeout=_TRY)
            ray.kill(actor)
        if group is not None:
            remove_placement_group(group)


def in_order(actors: Sequence[Any], wheres: Sequence[Where]) -> list[Placed]:
    """Processes by machine, those of one behind each other, and the machines as they came."""
    machines: dict[str, list[int]] = {}
    for number, where in enumerate(wheres):
        machines.setdefault(where.machine, []).append(number)
    found: list[Placed] = []
    for numbers in machines.values():
        devices = tuple(device for number in numbers for device in wheres[number].devices)
        for local_rank, number in enumerate(numbers):
            place = (len(found), local_rank, len(numbers), wheres[number], devices, actors[number])
            found.append(Placed(*place))
    return found


def _reserved(options: Ray, counts: Sequence[int], bundle: dict[str, float], going: Callable[[], bool]) -> Any:
    """A placement group for the most processes that there is room for; None when nobody waits any more."""
    from ray.util import placement_group, remove_placement_group

    deadline = time.monotonic() + options.wait
    patience = _TRY if len(counts) > 1 else options.wait
    while True:
        for count in counts:
            group = placement_group([bundle] * count, strategy=options.placement)
            if _comes(group, min(patience, max(deadline - time.monotonic(), _STEP)), going):
                if count < counts[0]:
                    announce("processes", count, f"the cluster has no room for {counts[0]}; each accumulates more")
                return group
            remove_placement_group(group)
            if not going():
                return None
        if time.monotonic() >= deadline:
            raise _no_room(options, counts, bundle)


def _comes(group: Any, seconds: float, going: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while going() and time.monotonic() < deadline:
        if group.wait(timeout_seconds=min(_STEP, seconds)):
            return True
    return False


def _no_room(options: Ray, counts: Sequence[int], bundle: dict[str, float]) -> TunesmithError:
    each = ", ".join(f"{amount:g} {name}" for name, amount in bundle.items())
    fewer = "" if len(counts) > 1 else ", parallel.min_processes"
    return TunesmithError(
        f"parallel: {counts[-1]} processes with {each} each, placed {options.placement}, have no room on the cluster,"
        f" for which was waited {options.wait:g} seconds.\n"
        f"  {held()}\n"
        f"  fewer parallel.processes{fewer}, another parallel.placement, smaller parallel.resources, or a longer"
        " parallel.wait"
    )
