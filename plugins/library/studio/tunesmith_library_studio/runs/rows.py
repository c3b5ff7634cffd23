"""A run as a line of a table: what its folder says, who works on it, and what its user noted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunesmith_library_configuration.locks import IN_FOLDER, holder

from tunesmith_library_studio.runs.facts import Facts
from tunesmith_library_studio.runs.folders import Place
from tunesmith_library_studio.runs.logged import numbers

STATES = ("running", "stopping", "done", "stopped", "failed", "incomplete")
"""Training; asked to end; has a result; can go on from a checkpoint; ended by an error; has neither of the two."""

Row = dict[str, Any]


def row_of(place: Place, facts: Facts, note: Mapping[str, Any], job: Any) -> Row:
    """One line: see `Row` of the interface for what its fields mean.

    Args:
        note: tags and notes of it.
        job: the newest that trains it, if there is one.
    """
    config, log = facts.config, facts.logged
    held = holder(place.path / IN_FOLDER) if IN_FOLDER in place.entries else None
    state = state_of(facts, bool(held), place.foreign, job)
    last, evaluation = log.get("last") or {}, log.get("evaluation") or {}
    return {
        "name": place.name,
        "state": state,
        "resumable": state in ("stopped", "failed", "incomplete") and _can_go_on(facts, place.foreign),
        "foreign": place.foreign,
        "problem": facts.problem,
        "stage": _name(config.get("stage")),
        "model": _text(_part(config, "model").get("path")),
        "adapter": _name(config.get("adapter")),
        "quantizer": _name(config.get("quantizer")),
        "data": [text for text in map(_data_name, _list(_part(config, "data").get("train"))) if text],
        "started": facts.started,
        "modified": facts.modified,
        "seconds": _seconds(facts, held, time.time()),
        "step": last.get("step"),
        "total_steps": last.get("total_steps"),
        "epoch": last.get("epoch"),
        "loss": last.get("loss"),
        "metric": log.get("metric"),
        "greater_is_better": log.get("greater"),
        "value": evaluation.get(log["metric"]) if log.get("metric") else None,
        "best": log.get("best"),
        "best_step": log.get("best_step"),
        "checkpoints": len(facts.checkpoints),
        "result": facts.result,
        "evaluations": facts.evaluations,
        "size": facts.size,
        "tags": list(note.get("tags", ())),
        "notes": str(note.get("notes", "")),
        "job": job.id if job else None,
    }


def state_of(facts: Facts, held: bool, foreign: bool, job: Any) -> str:
    """One of `STATES`, by who holds the folder and what the last start left in it."""
    told = job.state if job else None
    if held:
        return "stopping" if told == "stopping" else "running"
    if foreign:
        step, total = (facts.logged.get("last", {}).get(name) for name in ("step", "total_steps"))
        ended = step is None or not total or step >= total
        return "done" if facts.result and ended else "stopped" if facts.checkpoints else "incomplete"
    if facts.status == "failed" or (told == "failed" and not facts.status):
        return "failed"
    whole = any(is_whole for _, is_whole in facts.checkpoints)
    if facts.status == "interrupted":
        return "stopped" if whole else "incomplete"
    if facts.status == "finished" or facts.result:
        return "done"
    return "stopped" if whole else "incomplete"


def columns_of(facts: Facts) -> Iterator[tuple[str, Any]]:
    """All that a column may show beside the row's own fields: `trainer.learning_rate`, `metrics.grad_norm`."""
    yield from flat(facts.config)
    for part in ("last", "evaluation"):
        yield from ((f"metrics.{name}", value) for name, value in numbers(facts.logged.get(part) or {}).items())


def flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings by their keys with points; lists are leaves."""
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from flat(item, f"{key}.{name}" if key else str(name))
    elif key:
        yield key, value


def matches(row: Row, search: str, only: Mapping[str, str | None]) -> bool:
    """Whether a row has all words of a search, and the values that are asked for."""
    if any(value and value != row[name] for name, value in only.items() if name != "tag"):
        return False
    if only.get("tag") and only["tag"] not in row["tags"]:
        return False
    fields = (row["name"], row["model"], row["stage"], row["adapter"], row["quantizer"], row["notes"])
    text = " ".join(str(each) for each in (*fields, *row["data"], *row["tags"]) if each).lower()
    return all(word in text for word in search.lower().split())


def sort(rows: Sequence[Row], by: str, descending: bool) -> list[Row]:
    """In the order of a field or column; what has no value comes last either way."""

    def value(row: Row) -> Any:
        return row["values"].get(by) if by in row.get("values", {}) else row.get(by)

    having = [row for row in rows if value(row) not in (None, "", [])]
    texts = any(not isinstance(value(row), int | float) for row in having)
    having.sort(key=lambda row: str(value(row)).lower() if texts else value(row), reverse=descending)
    return [*having, *(row for row in rows if value(row) in (None, "", []))]


def _can_go_on(facts: Facts, foreign: bool) -> bool:
    return not foreign and any(whole for _, whole in facts.checkpoints)


def _seconds(facts: Facts, held: Any, now: float) -> float | None:
    """How long it has trained, with all its starts; of one that goes on, until now."""
    if held:
        with_since = str(held[1].get("since", ""))
        try:
            return max(now - time.mktime(time.strptime(with_since, "%Y-%m-%d %H:%M:%S")), 0.0)
        except ValueError:
            return max(now - facts.started, 0.0)
    if facts.seconds is not None:
        return facts.seconds
    last = (facts.logged.get("last") or {}).get("time")
    return max(last - facts.started, 0.0) if isinstance(last, int | float) else None


def _part(config: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    found = config.get(kind)
    return found if isinstance(found, Mapping) else {}


def _name(part: Any) -> str | None:
    return _text(part.get("name")) if isinstance(part, Mapping) else _text(part)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value] if value else []


def _data_name(entry: Any) -> str:
    if isinstance(entry, Mapping):
        return str(entry.get("name") or str(entry.get("path") or "").rstrip("/").rpartition("/")[2])
    return str(entry).rstrip("/").rpartition("/")[2]
