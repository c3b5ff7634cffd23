"""Runs side by side: where their configurations differ, and what each took and reached."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tunesmith.kinds import KINDS

from tunesmith_library_studio.runs.rows import Row, flat

_NO_OPTIONS = ("tunesmith",)  # keys of a record that choose nothing
_RESOLVED = frozenset(name for name, kind in KINDS.items() if kind.how_many == "routed")  # by what is read
_TELLING = ("path", "name")  # of an entry of a list: what it is
_FIGURES = (
    *("state", "step", "epoch", "loss", "metric", "value", "best", "best_step", "seconds"),
    *("tokens", "tokens_per_second", "seconds_of_step", "memory_peak", "memory_predicted", "size"),
)


def differences(configurations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The options that are not the same in all: `key`, `values` in the order of the runs, null where there is none.

    Entries of lists are told leaf by leaf: `data.train[0].path`. What follows from another difference is no news: of
    different plugins the options of each; of an entry that some do not have what is empty, or as in most entries;
    the plugins that a record names because the data needed them.
    """
    leaves = [dict(_leaves(config)) for config in configurations]
    keys = dict.fromkeys(key for each in leaves for key in each if key not in _NO_OPTIONS)
    others = {key for key in keys if key.endswith(".name") and len({str(each.get(key)) for each in leaves}) > 1}
    usual = _of_entries(leaves)
    found = []
    for key in keys:
        values = [each.get(key) for each in leaves]
        if all(value == values[0] for value in values):
            continue
        if not all(key in each for each in leaves):
            kind, having = key.partition(".")[0], [each[key] for each in leaves if key in each]
            follows = f"{kind}.name" in others and key not in others
            if follows or kind in _RESOLVED or all(_says_nothing(key, value, keys, usual) for value in having):
                continue
        found.append({"key": key, "values": values})
    return found


def _leaves(config: Any) -> Iterator[tuple[str, Any]]:
    """What is no mapping, and no list of mappings, by its key."""
    for key, value in flat(config):
        if isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
            for at, each in enumerate(value):
                inner = _leaves(each) if isinstance(each, Mapping) else [("", each)]
                yield from ((f"{key}[{at}].{name}".rstrip("."), item) for name, item in inner)
        else:
            yield key, value


def _of_entries(leaves: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """All values that a leaf has in the entries of lists, by its key within them."""
    found: dict[str, list[Any]] = {}
    for each in leaves:
        for key, value in each.items():
            if "]." in key:
                found.setdefault(key.rpartition("].")[2], []).append(value)
    return found


def _says_nothing(key: str, value: Any, keys: Iterable[str], usual: Mapping[str, list[Any]]) -> bool:
    """Whether a value that only some have is no difference: an empty list where others have entries, or in an entry of
    a list what most entries have."""
    if "]." not in key:
        return value in ([], {}) and any(other.startswith((f"{key}[", f"{key}.")) for other in keys)
    name = key.rpartition("].")[2]
    values = usual[name]
    return value in (None, "", [], {}) or (name not in _TELLING and values.count(value) > max(1, len(values) / 2))


def figures(row: Row, record: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, Any]:
    """What a run took and reached, by the names of `_FIGURES`; null for what is not known."""
    measured, predicted = _part(record, "measured"), _part(record, "predicted")
    seconds = _part(measured, "seconds").get("step")
    tokens = last.get("num_input_tokens_seen", last.get("total_tokens"))
    known = {
        "tokens": tokens,
        "tokens_per_second": measured["tokens_of_step"] / seconds
        if seconds and measured.get("tokens_of_step")
        else last.get("tokens_per_second"),
        "seconds_of_step": seconds,
        "memory_peak": _part(measured, "memory").get("peak"),
        "memory_predicted": _part(predicted, "peak").get("bytes"),
    }
    return {name: known.get(name, row.get(name)) for name in _FIGURES}


def as_table(compared: Mapping[str, Any]) -> list[list[str]]:
    """A comparison as lines of cells, the names of the runs in the first."""
    names = [run["name"] for run in compared["runs"]]
    lines = [["", *names]]
    for figure in _FIGURES:
        values = [run["figures"][figure] for run in compared["runs"]]
        lines += [[figure, *map(_cell, values)]] if any(value is not None for value in values) else []
    lines += [[each["key"], *map(_cell, each["values"])] for each in compared["differences"]]
    for each in compared["evaluations"]:
        label = f"{each['evaluator']}: {each['dataset']}: {each['metric']}"
        lines.append([label, *map(_number, each["values"])])
    return lines


def as_markdown(table: Sequence[Sequence[str]]) -> str:
    """A table as Markdown has it."""
    shown = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in table]
    rows = [f"| {' | '.join(line)} |" for line in shown]
    return "\n".join([rows[0], "|---" * len(table[0]) + "|", *rows[1:]]) + "\n"


def as_csv(table: Sequence[Sequence[str]]) -> str:
    """A table as CSV, in which no cell is a formula to a spreadsheet."""
    text = io.StringIO()
    csv.writer(text).writerows([[_harmless(cell) for cell in line] for line in table])
    return text.getvalue()


def _harmless(cell: str) -> str:
    try:
        float(cell)
    except ValueError:
        return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
    return cell


def _part(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = told.get(name)
    return found if isinstance(found, Mapping) else {}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _number(value: Mapping[str, Any] | None) -> str:
    if value is None or value.get("value") is None:
        return ""
    error = value.get("standard_error")
    return f"{value['value']:.5g}" + ("" if error is None else f" ± {error:.2g}")
