"""One run, from before its model is loaded to its end: measured, compared with what was predicted, and written."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.files import replacing
from tunesmith_library_estimates.estimating import estimated
from tunesmith_library_estimates.estimation import PHASES, Estimate
from tunesmith_library_estimates.wording import in_words

from tunesmith_tracker_record.clock import Clock
from tunesmith_tracker_record.meters import Meter, Taken, threads

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_VERSIONS = ("tunesmith", "torch", "transformers", "peft", "bitsandbytes")


class Measuring:
    """What is known of a run.

    Args:
        plan: of the run, to estimate it; None where it has none, as in a program of one's own.
    """

    def __init__(self, plan: Plan | None) -> None:
        self._plan, self.meter, self.clock = plan, Meter(), Clock()
        self._estimate: Estimate | None = None
        self._file: Path | None = None
        self._earlier: dict[str, Any] = {}

    def starts(self, file: Path, resumed_from: int) -> None:
        """Take note of where the record is written; of a run that goes on, of what was measured before.

        The estimate is made here, when the data is encoded, so that it is of examples as long as they are.
        """
        self._file = file
        if resumed_from:
            self._earlier = _measured_before(file)
        if self._plan is not None:
            self._estimate = estimated(self._plan)
        self.clock.was_interrupted()

    def step_ended(self) -> None:
        """Take note of a step."""
        self.clock.step_ended()
        self.meter.look()

    def ends(self, status: str) -> str:
        """Write the record. Returns: how what was predicted and what was measured compare, in words."""
        if self._file is None:
            return ""
        taken = self.meter.taken()
        measured = self._measured(taken)
        told = {
            "status": status,
            "predicted": None if self._estimate is None else _predicted(self._estimate),
            "measured": measured,
            "machine": {"device": taken.device, "threads": threads(), "system": platform.platform()},
            "versions": dict(_versions()),
        }
        with replacing(self._file) as draft:
            draft.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        if self._estimate is None:
            return ""
        return ", ".join(_compared(self._estimate, measured))

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


def _predicted(estimate: Estimate) -> dict[str, Any]:
    phase, peak = estimate.peak
    return {
        "memory": {each: estimate.bytes(each) for each in PHASES},
        "peak": {"phase": phase, "bytes": peak},
        "parameters": estimate.parameters,
        "trained": estimate.trained,
        "tokens_of_pass": estimate.tokens,
        "disk": dict(estimate.disk),
        "unknown": list(estimate.unknown),
    }


def _compared(estimate: Estimate, measured: Mapping[str, Any]) -> Iterator[str]:
    """Memory, in words: `memory: 1.61 GB predicted, 1.58 GB measured (+2 %)`."""
    peak = measured["memory"].get("peak")
    if estimate.weights and peak:
        predicted = estimate.peak[1]
        apart = 100 * (predicted / peak - 1)
        yield f"memory: {in_words(predicted)} predicted, {in_words(peak)} measured ({apart:+.0f} %)"


def _versions() -> Iterator[tuple[str, str]]:
    for name in _VERSIONS:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue
