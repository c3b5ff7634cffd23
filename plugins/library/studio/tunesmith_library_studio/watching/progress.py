"""How far a run is, how fast, what it does now, and how long it still takes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from tunesmith_library_studio.watching.columns import Column, Columns
from tunesmith_library_studio.watching.places import places_of

_LATE = 100  # logged steps that the pace is taken from
_PAUSE = 50.0  # an interval so many times as long as others is no training: the run was stopped meanwhile
_SHOWN = ("loss", "learning_rate", "grad_norm", "tokens_per_second", "reward", "gpu_memory_gib")


def progress(columns: Columns, phase: str, now: float | None = None) -> dict[str, Any]:
    """How far a run is.

    Args:
        phase: what `phase` found.
        now: seconds since 1970; None is this moment.

    Returns: `phase`, `step`, `total_steps`, `share` (in [0, 1]), `epoch`, `pace` (seconds of a step, with evaluations
        and checkpoints in it), `seconds_left`, `logged` (when the last step was, in seconds since 1970), `seconds`
        (since the first logged step, without pauses), `numbers` (of the last logged step). What is not known is None.
    """
    total, step, tokens = columns.total_steps, columns.last_step, places_of(columns, "tokens")
    times = columns.get("time")
    pace = _pace(times) if times is not None else None
    logged = times.values[-1] + columns.paused(step) if times is not None and len(times) else None
    left = None
    if phase not in ("ended", "starting") and pace is not None and total:
        late = (time.time() if now is None else now) - logged if logged and logged > 1e9 else 0.0
        left = max(0.0, (total - step) * pace - min(max(late, 0.0), pace))
    return {
        "phase": phase,
        "step": step,
        "total_steps": total,
        "share": min(1.0, step / total) if total else None,
        "epoch": _last(columns, "epoch"),
        "pace": pace,
        "seconds_left": left,
        "logged": logged,
        "seconds": times.values[-1] - times.values[0] if times is not None and len(times) else None,
        "tokens": tokens and tokens.of(step),
        "numbers": {name: _last(columns, name) for name in _SHOWN if name in columns},
    }


def phase(folder: Path, columns: Columns, state: str, config: Mapping[str, Any]) -> str:
    """What a run does: starting, training, evaluating, saving; ended.

    The trainer logs a step before it evaluates and saves there, so the last step tells what it is at.

    Args:
        state: of the run, such as `running`.
        config: of the run, as `run.yaml` has it.
    """
    if state != "running":
        return "ended"
    if not columns.rows:
        return "starting"
    trainer = config.get("trainer")
    trainer = trainer if isinstance(trainer, Mapping) else {}
    step, total = columns.last_step, columns.total_steps or 0
    if _due(trainer, "eval", step, total) and not _evaluated(columns, step):
        return "evaluating"
    if _due(trainer, "save", step, total) and not (folder / f"checkpoint-{step}").is_dir():
        return "saving"
    return "training"


def _due(trainer: Mapping[str, Any], what: str, step: int, total: int) -> bool:
    every = trainer.get(f"{what}_steps")
    if trainer.get(f"{what}_strategy") not in ("steps", None) or not isinstance(every, int | float) or not every:
        return False
    count = round(every * total) if every < 1 else int(every)
    return bool(count) and step > 0 and step % count == 0


def _evaluated(columns: Columns, step: int) -> bool:
    found = (column for name, column in columns.items() if name.startswith("eval_") and len(column))
    last = max((column.steps[-1] for column in found), default=None)
    return last is not None and last >= step


def _pace(times: Column) -> float | None:
    steps, values = times.steps[-_LATE - 1 :], times.values[-_LATE - 1 :]
    pairs = [
        (values[at + 1] - values[at], steps[at + 1] - steps[at])
        for at in range(len(steps) - 1)
        if steps[at + 1] > steps[at]
    ]
    if not pairs:
        return None
    usual = median(seconds / count for seconds, count in pairs)
    kept = [(seconds, count) for seconds, count in pairs if seconds / count <= _PAUSE * max(usual, 1e-3)]
    return sum(seconds for seconds, _ in kept) / sum(count for _, count in kept) if kept else usual


def _last(columns: Columns, name: str) -> float | None:
    column = columns.get(name)
    return column.values[-1] if column is not None and len(column) else None
