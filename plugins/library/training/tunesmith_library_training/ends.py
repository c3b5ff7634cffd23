"""The end of a run that goes on: it cannot be before where the run is already; free of torch."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.types import Problem
from tunesmith_library_configuration.records import steps_of

if TYPE_CHECKING:
    from tunesmith.planning import Plan


def end_problems(plan: Plan, steps: tuple[str, int], epochs: tuple[str, float] | None = None) -> list[Problem]:
    """A problem where a run that goes on has done more than it is to do in all: it would be over at once, with the
    weights of its checkpoint, and a record that says otherwise.

    Args:
        steps: the option that ends the run, and its value; no more than 0 leaves the end to `epochs`.
        epochs: likewise, in passes over the data.
    """
    if plan.resumed is None:
        return []
    chosen: tuple[str, float] = steps if steps[1] > 0 or epochs is None else epochs
    in_steps = chosen is steps
    done = float(steps_of(plan.resumed)) if in_steps else _epochs(plan.resumed)
    (key, end), unit = chosen, "steps" if in_steps else "epochs"
    if not 0 < end < done:
        return []
    enough = f"{done:.0f}" if in_steps else f"{math.ceil(done * 10_000) / 10_000:g}"
    message = f"{key}={end}: the run has done {enough} {unit} already, as {plan.resumed} has it."
    advice = f"{key}={enough} saves what it holds, more goes on; what ends earlier is a new run: output_dir=FOLDER"
    return [Problem(key, message, advice)]


def _epochs(checkpoint: Path) -> float:
    """The passes over the data that a checkpoint has behind it, as transformers keeps them; 0 where nobody knows."""
    try:
        return float(json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))["epoch"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
