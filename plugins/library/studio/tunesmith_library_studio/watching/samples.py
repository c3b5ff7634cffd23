"""What a model answered at each evaluation of its training, side by side over the steps.

Evaluators keep the records of each step in `eval/NAME/step-N/samples.jsonl`, the same examples in the same order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError

_STEPS = 8  # that are shown beside each other
_PLACE = ("dataset", "index")
_ASKED = ("prompt", "answer")  # the same at each step


def evaluators(folder: Path) -> list[dict[str, Any]]:
    """The evaluators of a run's training: `name`, `steps` (from the first on), `records` (whether there are any)."""
    found = []
    for place in sorted((folder / "eval").glob("*")):
        steps = sorted(_step(each) for each in place.glob("step-*") if _step(each) >= 0)
        if steps:
            last = place / f"step-{steps[-1]}" / "samples.jsonl"
            found.append({"name": place.name, "steps": steps, "records": last.is_file() and last.stat().st_size > 0})
    return found


def samples(
    folder: Path, evaluator: str, steps: tuple[int, ...] = (), offset: int = 0, limit: int = 10
) -> dict[str, Any]:
    """Some examples with what the model made of them at several steps.

    Args:
        steps: those that are wanted; none are the first one and the last seven.

    Returns: `steps`, `total` (examples at the last of them), and `items`: `dataset`, `index`, `prompt`, `answer` (the
        expected one), and `by_step`: for each step (a text) what else the record holds, or null where it has none.
    Raises: TunesmithError where no evaluator of that name has measured during the training.
    """
    known = {each["name"]: each["steps"] for each in evaluators(folder)}
    if evaluator not in known:
        raise TunesmithError(
            f"{folder.name} has no evaluations of {evaluator!r} from its training.\n"
            f"  there are: {', '.join(known) or 'none'}\n"
            "  to have some, train with evaluator=[text_metrics] and trainer.eval_steps=N"
        )
    there = known[evaluator]
    chosen = [step for step in there if step in steps] if steps else sorted({there[0], *there[1 - _STEPS :]})
    read = {step: _records(folder / "eval" / evaluator / f"step-{step}" / "samples.jsonl") for step in chosen}
    parts = {step: list(islice(records, offset, offset + limit)) for step, records in read.items()}
    last = parts[chosen[-1]] if chosen else []
    return {
        "steps": chosen,
        "total": offset + len(last) + sum(1 for _ in read[chosen[-1]]) if chosen else 0,
        "items": [_item(record, at, parts) for at, record in enumerate(last)],
    }


def _item(record: dict[str, Any], at: int, parts: dict[int, list[dict[str, Any]]]) -> dict[str, Any]:
    place = tuple(record.get(name) for name in _PLACE)
    by_step = {}
    for step, records in parts.items():
        same = records[at] if at < len(records) and tuple(records[at].get(name) for name in _PLACE) == place else None
        by_step[str(step)] = same and {name: value for name, value in same.items() if name not in (*_PLACE, *_ASKED)}
    return {**{name: record.get(name) for name in (*_PLACE, *_ASKED)}, "by_step": by_step}


def _records(file: Path) -> Iterator[dict[str, Any]]:
    if not file.is_file():
        return
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            yield record if isinstance(record, dict) else {}


def _step(folder: Path) -> int:
    number = folder.name.removeprefix("step-")
    return int(number) if number.isdecimal() else -1
