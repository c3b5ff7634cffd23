"""One run, from before its model is loaded to its end: measured, compared with what was predicted, and written."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tunesmith.files import replacing
from tunesmith_library_estimates.estimating import estimated
from tunesmith_library_estimates.estimation import PHASES, Estimate
from tunesmith_library_estimates.learned import Measured, learn
from tunesmith_library_estimates.sizes import in_words
from tunesmith_library_estimates.times import Times, time_of
from tunesmith_library_estimates.working import Extent, spread_of
from tunesmith_library_training.lengths import every

from tunesmith_tracker_record.clock import Clock
from tunesmith_tracker_record.meters import Meter, Taken, threads

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_LONGEST = 256  # examples whose lengths a batch is made of
_ENOUGH = 5  # steps that a measurement is worth keeping for
_VERSIONS = ("tunesmith", "torch", "transformers", "peft", "bitsandbytes")

MESSAGES = (
    "memory: {predicted} predicted, {measured} measured ({difference})",
    "a step: {predicted} s predicted, {measured} s measured ({difference})",
    "memory: {predicted} predicted, {measured} measured ({difference}); "
    "a step: {predicted_2} s predicted, {measured_2} s measured ({difference_2})",
)


class Measuring:
    """What is known of a run.

    Args:
        plan: of the run, to estimate it; None where it has none, as in a program of one's own.
        since: when the run began, by `time.perf_counter`; None is now.
    """

    def __init__(self, plan: Plan | None, since: float | None = None) -> None:
        self._plan, self.meter, self.clock = plan, Meter(), Clock(since)
        self._estimate: Estimate | None = None
        self._times: Times | None = None
        self._data: Extent | None = None
        self._file: Path | None = None
        self._earlier: dict[str, Any] = {}

    def sees(self, examples: Any) -> None:
        """Take note of how long the encoded examples are, where they can be counted."""
        lengths = every(examples)
        if lengths is not None and len(lengths):
            longest = tuple(map(int, np.sort(lengths)[: -_LONGEST - 1 : -1]))
            source = "the run's own examples"
            spread = spread_of(dict(zip(*(each.tolist() for each in np.unique_counts(lengths)), strict=True)))
            mean = float(lengths.mean())
            self._data = Extent(len(lengths), mean, longest, encoded=True, spread=spread, source=source)

    def starts(self, file: Path, resumed_from: int) -> None:
        """Take note of where the record is written; of a run that goes on, of what was measured before.

        The estimate is made here, when the data is encoded, so that it is of examples as long as they are.
        """
        self._file = file
        if resumed_from:
            self._earlier = _measured_before(file)
        if self._plan is not None:
            self._estimate = estimated(self._plan, data=self._data)
            self._times = time_of(self._estimate)
        self.clock.was_interrupted()

    def step_ended(self) -> None:
        """Take note of a step."""
        self.clock.step_ended()
        self.meter.look()

    def ends(self, status: str, learns: bool) -> str:
        """Write the record.

        Args:
            status: of the run, as `RunEnded` has it.
            learns: whether later plans on this machine are to know of it.

        Returns: how what was predicted and what was measured compare, in words.
        """
        if self._file is None:
            return ""
        taken = self.meter.taken()
        measured = self._measured(taken)
        told = {
            "status": status,
            "predicted": None if self._estimate is None else _predicted(self._estimate, self._times),
            "measured": measured,
            "machine": {"device": taken.device, "threads": threads(), "system": platform.platform()},
            "versions": dict(_versions()),
        }
        with replacing(self._file) as draft:
            draft.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        if self._estimate is None:
            return ""
        if learns and status == "finished" and len(self.clock.seconds) >= _ENOUGH:
            learn(self._estimate, Measured(self.clock.step, self.clock.tokens_of_step, self.clock.loading))
        return "; ".join(_compared(self._estimate, self._times, measured))

    def _measured(self, taken: Taken) -> dict[str, Any]:
        clock, before = self.clock, self._earlier
        memory = {
            name: _largest(value, before.get("memory", {}).get(name))
            for name in ("peak", "allocated", "reserved", "host")
            if (value := getattr(taken, name)) is not None
        }
        times = {"loading": clock.loading, "training": clock.training}
        seconds = {name: value + before.get("seconds", {}).get(name, 0.0) for name, value in times.items()}
        return {
            "memory": memory,
            "seconds": {**{name: round(value, 3) for name, value in seconds.items()}, "step": clock.step},
            "steps": clock.steps + before.get("steps", 0),
            "tokens_of_step": clock.tokens_of_step,
            "parts": before.get("parts", 0) + 1,  # times that the run was started
            "of": "the first process",
        }


def _largest(value: float, other: Any) -> float:
    return max(value, other) if isinstance(other, int | float) else value


def _measured_before(file: Path) -> dict[str, Any]:
    """What the record of the run until now holds; {} where it has none that can be read."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["measured"]
        whole = all(isinstance(found[name], dict) for name in ("memory", "seconds"))
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found if whole else {}


def _predicted(estimate: Estimate, times: Times | None) -> dict[str, Any]:
    phase, peak = estimate.peak
    seconds = {} if times is None else {**asdict(times), "total": times.total}
    return {
        "memory": {each: estimate.bytes(each) for each in PHASES},
        "peak": {"phase": phase, "bytes": peak},
        "parameters": estimate.parameters,
        "trained": estimate.trained,
        "tokens_of_pass": estimate.tokens,
        "seconds": seconds,
        "disk": dict(estimate.disk),
        "unknown": list(estimate.unknown),
    }


def _compared(estimate: Estimate, times: Times | None, measured: Mapping[str, Any]) -> Iterator[str]:
    """In words: `memory: 1.61 GB predicted, 1.58 GB measured (+2 %)`, and the time of a step."""
    peak, step = measured["memory"].get("peak"), measured["seconds"]["step"]
    if estimate.weights and peak:
        predicted = estimate.peak[1]
        yield f"memory: {in_words(predicted)} predicted, {in_words(peak)} measured ({predicted / peak - 1:+.0%})"
    if times is not None and times.step and step:
        yield f"a step: {times.step:.3g} s predicted, {step:.3g} s measured ({times.step / step - 1:+.0%})"


def _versions() -> Iterator[tuple[str, str]]:
    for name in _VERSIONS:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue
