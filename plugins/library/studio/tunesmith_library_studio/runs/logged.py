"""What a run logged last, and its best evaluation, without reading a long file again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_PIECE = 1 << 22  # bytes that are read at a time
_TAIL = 1 << 14  # bytes in which the last step is looked for
_EVALUATION = b'"eval'  # in every line of an evaluation, whoever wrote it
_THEIRS = {"lr": "learning_rate", "current_steps": "step"}  # LLaMA-Factory's names
_PLACES = ("event", "step", "total_steps", "epoch", "time", "resumed_at")


@dataclass
class Logged:
    """Of a file of metrics: where it was read to, and what was found until there."""

    offset: int = 0  # bytes
    head: str = ""  # the beginning of the first line, by which another file of the same name is noticed
    first: float | None = None  # when the first line was written
    last: dict[str, Any] = field(default_factory=dict)  # the last step's line
    evaluation: dict[str, Any] = field(default_factory=dict)  # the last evaluation's
    metric: str | None = None  # by which evaluations are compared
    greater: bool = False  # whether more of it is better
    best: float | None = None
    best_step: int | None = None

    @classmethod
    def of(cls, told: Any) -> Logged:
        """What `asdict` made of one; a new one where that cannot be read."""
        try:
            return cls(**told)
        except TypeError:
            return cls()


def logged(file: Path, before: Logged, metric: str | None, greater: bool | None) -> Logged:
    """Read on in a file of JSON lines.

    Args:
        before: what an earlier call gave; it is left as it is.
        metric: by which evaluations are compared, with or without `eval_`; None: the loss, else the first there is.
        greater: whether more of it is better; None: as its name says.
    """
    with file.open("rb") as lines:
        head = lines.read(64).decode("utf-8", "replace").partition("\n")[0]
        size = lines.seek(0, 2)
        is_same = head == before.head and size >= before.offset
        found = Logged(**asdict(before)) if is_same else Logged(head=head)
        lines.seek(found.offset)
        while piece := lines.read(_PIECE):
            end = piece.rfind(b"\n") + 1
            if not end:
                break  # a line that is not finished
            _take(found, piece[:end], metric, greater)
            found.offset += end
            lines.seek(found.offset)
    return found


def of_history(history: Any, metric: str | None, greater: bool | None) -> Logged:
    """The same of transformers' `log_history`."""
    found = Logged()
    for record in history if isinstance(history, list) else ():
        if isinstance(record, dict):
            _note(found, record, metric, greater)
    return found


def finite(value: Any) -> Any:
    """Plain data without NaN and infinity, which JSON does not know: null in their place."""
    if isinstance(value, Mapping):
        return {str(name): finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def numbers(record: Mapping[str, Any]) -> dict[str, float]:
    """What was measured in a line, without step and time."""
    return {name: value for name, value in record.items() if name not in _PLACES and _is_number(value)}


def _take(found: Logged, piece: bytes, metric: str | None, greater: bool | None) -> None:
    for line in _lines_of_interest(piece, found.first is None):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            _note(found, record, metric, greater)


def _lines_of_interest(piece: bytes, first: bool) -> Iterator[bytes]:
    """The first line where it is wanted, evaluations, and the last lines; whole lines in their order."""
    tail = piece.rfind(b"\n", 0, max(len(piece) - _TAIL, 0)) + 1  # steps further back are not looked at
    if first and tail:
        yield piece[: piece.find(b"\n")]
    at = piece.find(_EVALUATION, 0, tail)
    while at >= 0:
        end = piece.find(b"\n", at)
        yield piece[piece.rfind(b"\n", 0, at) + 1 : end]
        at = piece.find(_EVALUATION, end, tail)
    yield from piece[tail:].split(b"\n")


def _note(found: Logged, told: Mapping[str, Any], metric: str | None, greater: bool | None) -> None:
    record = finite({_THEIRS.get(name, name): value for name, value in told.items()})
    if not isinstance(record.get("step"), int):
        return
    if found.first is None and _is_number(record.get("time")):
        found.first = float(record["time"])
    evaluated = {name: value for name, value in record.items() if name.startswith("eval_") and _is_number(value)}
    if evaluated:
        found.evaluation = record
        _compare(found, record, evaluated, metric, greater)
    if not evaluated or "loss" in record:
        found.last = record


def _compare(
    found: Logged, record: Mapping[str, Any], evaluated: Mapping[str, float], metric: str | None, greater: bool | None
) -> None:
    if found.metric not in evaluated:
        chosen = _chosen(evaluated, metric)
        if chosen is None:
            return
        by_name = not any(word in chosen for word in ("loss", "perplexity", "unfinished", "truncated", "distance"))
        found.metric, found.greater, found.best = chosen, by_name if greater is None else greater, None
    value = float(evaluated[found.metric or ""])
    if found.best is None or (value > found.best if found.greater else value < found.best):
        found.best, found.best_step = value, int(record["step"])


def _chosen(evaluated: Mapping[str, float], metric: str | None) -> str | None:
    if metric:
        full = metric if metric.startswith("eval_") else f"eval_{metric}"
        return full if full in evaluated else None
    plain = [name for name in ("eval_loss", "eval_reward") if name in evaluated]
    losses = [name for name in evaluated if name.endswith("_loss")]
    others = [name for name in evaluated if not name.endswith(("runtime", "per_second"))]
    return next(iter([*plain, *losses, *others]), None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
