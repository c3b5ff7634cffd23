"""The time of a training run between two of its events."""

from __future__ import annotations

import json
import time


def print_timed_run(config: dict, begins: str = "RunStarted") -> None:
    """Train, and print as JSON the seconds until the last step, and the first and the last loss.

    Args:
        begins: what the time counts from: an event by its type's name, or `prepare`, which comes before all of them.
    """
    import tunesmith
    from tunesmith.catalog import Catalog
    from tunesmith.options import plugin

    times = []

    @plugin
    class Clock:
        """Notes when what happens."""

        @tunesmith.hookimpl
        def prepare(self, job: object) -> None:
            times.append(("prepare", time.perf_counter(), {}))

        @tunesmith.hookimpl
        def on_event(self, event: object) -> None:
            times.append((type(event).__name__, time.perf_counter(), getattr(event, "metrics", {})))

    clocked = Catalog([*Catalog.discover().entries(), *Catalog.of({"tracker.clock": Clock}).entries()])
    tunesmith.train({**config, "tracker": {"clock": {}}}, catalog=clocked)
    start = next(at for name, at, _ in times if name == begins)
    end = [at for name, at, _ in times if name == "StepEnded"][-1]
    losses = [metrics["loss"] for name, _, metrics in times if name == "StepEnded" and "loss" in metrics]
    print(json.dumps({"seconds": end - start, "first": losses[0], "last": losses[-1]}))
