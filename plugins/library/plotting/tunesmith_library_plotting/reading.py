"""The curves of a run, from what it wrote while it trained: ours, LLaMA-Factory's, or transformers'.

A run that is going on has them as well; what a line is not finished of is passed over.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError

from tunesmith_library_plotting.panels import Curves, results, shown

AXES = ("step", "tokens", "time", "epoch")
"""What curves can be drawn over. Time is that of training in seconds, since the first logged step, without pauses."""

FILES = ("metrics.jsonl", "trainer_log.jsonl", "trainer_state.json")
"""Of a run's folder; the first that is there is read."""

THEIRS = {"lr": "learning_rate", "current_steps": "step"}
"""LLaMA-Factory's names of what has another one here."""

RESUMED = "resumed_at"
"""In the first line after a resumption: when the run went on, in seconds since 1970, as `time` is."""

TOKENS = ("num_input_tokens_seen", "total_tokens", "num_tokens")
"""The tokens until a step, as transformers, LLaMA-Factory and TRL name them."""


@dataclass(frozen=True)
class Recorded:
    """A run's curves."""

    name: str
    curves: Curves = field(default_factory=dict)
    others: Curves = field(default_factory=dict)  # that no panel shows unless it is asked for
    places: Mapping[str, Mapping[int, float]] = field(default_factory=dict)  # by axis: step -> where it is


def recorded(file: Path, until: int) -> Curves:
    """What a tracker's JSON Lines hold for the panels up to a step; none for a new run (step 0) or without the file."""
    curves: Curves = {}
    for record in _lines(file) if until and file.is_file() else ():
        step = record.pop("step", None)
        if isinstance(step, int) and step <= until:
            _add(curves, step, shown(record))
    return curves


def read(run: Path) -> Recorded:
    """All that a run's folder, or a file of the kinds of `FILES`, has.

    Raises: TunesmithError when there is none, or nothing is logged in it.
    """
    file = run if run.is_file() else file_of(run)
    records = _history(file) if file.suffix == ".json" else _lines(file)
    curves, others, places = Curves(), Curves(), {axis: dict[int, float]() for axis in AXES[1:]}
    paused = 0.0  # seconds
    for record in records:
        named = {THEIRS.get(name, name): value for name, value in record.items()}
        step = named.pop("step", None)
        if not isinstance(step, int):
            continue
        paused += _pause(places["time"], paused, named.pop(RESUMED, None))
        _note_places(places, step, named, paused)
        numbers = {name: float(value) for name, value in named.items() if _is_number(value)}
        own = shown(numbers)
        _add(curves, step, {**own, **results(numbers)})
        _add(others, step, {name: value for name, value in numbers.items() if name not in own})
    if not curves:
        raise TunesmithError(f"{file}: nothing is logged in it yet.\n  a run logs its first step when it has made it")
    start = min(places["time"].values(), default=0.0)
    places["time"] = {step: value - start for step, value in places["time"].items()}
    return Recorded(run.resolve().name if run.is_dir() else run.resolve().parent.name, curves, others, places)


def file_of(folder: Path) -> Path:
    """The file of a run's folder that has its curves.

    Raises: TunesmithError when there is none.
    """
    if not folder.is_dir():
        raise TunesmithError(f"{folder} is no folder of a run, and no file of its metrics.")
    states = sorted(folder.glob("checkpoint-*/trainer_state.json"), key=_number_of)
    found = [folder / name for name in FILES if (folder / name).is_file()] + states[-1:]
    if not found:
        raise TunesmithError(
            f"{folder} has no metrics: none of {', '.join(FILES)} is in it.\n"
            "  a run keeps them with tracker.jsonl, which is on by default; a file of another name can be given itself"
        )
    return found[0]


def _number_of(state: Path) -> int:
    number = state.parent.name.removeprefix("checkpoint-")
    return int(number) if number.isdecimal() else -1


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield record


def _history(file: Path) -> Iterator[dict[str, Any]]:
    """The records of transformers' state of a Trainer.

    Raises: TunesmithError when it is none.
    """
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        history = told["log_history"]
    except (ValueError, KeyError, TypeError) as error:
        raise TunesmithError(f"{file} is no trainer_state.json: it has no log_history.") from error
    return (record for record in history if isinstance(record, dict))


def _pause(times: Mapping[int, float], paused: float, resumed: Any) -> float:
    """Seconds between what was logged last and a moment at which the run went on."""
    if not times or not _is_number(resumed):
        return 0.0
    return max(0.0, float(resumed) - paused - max(times.values()))


def _note_places(places: Mapping[str, dict[int, float]], step: int, record: Mapping[str, Any], paused: float) -> None:
    """Where a step is on each axis, as far as a record says it; of time the seconds of pauses are taken out."""
    of_sets = [value for name, value in record.items() if name.startswith("tokens_of_") and _is_number(value)]
    total = next((record[name] for name in TOKENS if _is_number(record.get(name))), None)
    time = record.get("time", seconds(str(record.get("elapsed_time", ""))))
    for axis, value in (("epoch", record.get("epoch")), ("time", time), ("tokens", sum(of_sets) if of_sets else total)):
        if value is not None and _is_number(value):
            places[axis][step] = float(value) - (paused if axis == "time" else 0.0)


def seconds(text: str) -> float | None:
    """`1 day, 2:03:04` in seconds."""
    found = re.fullmatch(r"(?:(\d+) days?, )?(\d+):(\d+):(\d+)", text)
    if found is None:
        return None
    days, hours, minutes, seconds = (int(number or 0) for number in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _add(curves: Curves, step: int, metrics: Mapping[str, float]) -> None:
    for name, value in metrics.items():
        curves.setdefault(name, {})[step] = value
