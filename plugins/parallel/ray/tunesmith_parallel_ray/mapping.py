"""Work that is done all over a cluster, task by task: Ray Data decides where, and has what was lost done again."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tunesmith import TunesmithError, announce

from .cluster import connected

if TYPE_CHECKING:
    from . import Ray

Answer = Mapping[str, Any]
Make = Callable[[], Callable[[Mapping[str, Any]], Answer]]


def mapped(options: Ray, tasks: Sequence[Mapping[str, Any]], make: Make) -> Iterator[Answer]:
    """Have tasks done, and give their answers as they come.

    Args:
        tasks: as JSON has them.
        make: gives what does one, in each process that does some; it is pickled.

    Raises: TunesmithError, as of `connected`; what a task raises.
    """
    if not tasks:
        return
    with connected(options, options.processes or 1):
        import ray
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.ERROR)  # each shard's end is told by who asked for it
        ray.data.DataContext.get_current().enable_progress_bars = False
        cpus = options.resources.get("CPU", 1)
        count = min(options.processes or max(1, int(ray.cluster_resources().get("CPU", 1) // cpus)), len(tasks))
        announce("processes", count, f"for {len(tasks)} tasks")
        others = {name: amount for name, amount in options.resources.items() if name not in ("CPU", "GPU")}
        items = ray.data.from_items([{"task": json.dumps(task)} for task in tasks], override_num_blocks=len(tasks))
        done = items.map_batches(
            Worker,
            fn_constructor_args=(make,),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=count),
            num_cpus=cpus,
            resources=others or None,
        )
        for row in done.iter_rows():
            yield json.loads(row["answer"])


class Worker:
    """One process that does tasks, for Ray Data."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._do: Callable[[Mapping[str, Any]], Answer] | None = None

    def __call__(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"answer": [json.dumps(self._answer(json.loads(task))) for task in batch["task"]]}

    def _answer(self, task: Mapping[str, Any]) -> Answer:
        """What comes of a task. That something is wrong with what was asked is an answer, too: nobody tries again."""
        try:
            self._do = self._do or self._make()
        except TunesmithError as error:
            return {"fault": str(error)}
        return self._do(task)
