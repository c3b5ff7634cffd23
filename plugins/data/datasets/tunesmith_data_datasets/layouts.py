"""JSON files whose records are inside of one value: what is in it, and how to write them one after the other."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import compressed
from .reading import suffix_of

_DEPTH = 3  # mappings around a list of records


@dataclass(frozen=True)
class Layout:
    """How the records of a file are laid out."""

    said: str
    advice: str
    inner: Mapping[str, Any] | None = None  # a record as it is in there; None where columns are lists


def layout_of(records: Sequence[Mapping[str, Any]], file: Path | None) -> Layout | None:
    """The layout of a JSON file whose only value holds its records; None of another file.

    A list under a key, `{"data": […]}`; a mapping by names, `{"a1": {…}, "a2": {…}}`; columns, lists or mappings by the
    number of the row, as `pandas.DataFrame.to_json` writes them.
    """
    if file is None or len(records) != 1 or not suffix_of(file).startswith((".json", ".ndjson")) or not records[0]:
        return None
    value = records[0]
    made = _by_columns(value, file) or _by_names(value, file)
    path = _list_in(value)
    if made or path is None:
        return made
    inside = _at(value, path)
    where, keys = ".".join(path), "".join(f"[{key!r}]" for key in path)
    said = f"the file is one mapping, whose `{where}` is a list of {len(inside):,} mappings, which are its records"
    return Layout(said, _rewritten(file, f"data{keys}"), inside[0])


def _by_columns(value: Mapping[str, Any], file: Path) -> Layout | None:
    """Every column is a list, or a mapping by the number of the row, of one length; none of them holds mappings."""
    columns = [list(column.values()) if _is_numbered(column) else column for column in value.values()]
    if not all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
        return None
    if not columns[0] or any(isinstance(item, Mapping) for column in columns for item in column):
        return None
    values = "data.values()" if isinstance(next(iter(value.values())), list) else "map(dict.values, data.values())"
    said = f"the file is one mapping of {len(columns)} columns with {len(columns[0]):,} values each"
    return Layout(said, _rewritten(file, f"[dict(zip(data, row)) for row in zip(*{values})]"))


def _is_numbered(column: Any) -> bool:
    return isinstance(column, Mapping) and bool(column) and all(key.isdecimal() for key in column)


def _by_names(value: Mapping[str, Any], file: Path) -> Layout | None:
    """Every value is a mapping, and all have a key in common."""
    found = list(value.values())
    if len(found) < 2 or not all(isinstance(item, Mapping) for item in found) or not set.intersection(*map(set, found)):
        return None
    said = f"the file is one mapping of {len(found):,} mappings by names, which are its records"
    return Layout(said, _rewritten(file, "list(data.values())"), found[0])


def _list_in(value: Mapping[str, Any], depth: int = _DEPTH) -> list[str] | None:
    """The keys that lead to the first list of mappings."""
    for name, item in value.items():
        if isinstance(item, list) and item and all(isinstance(record, Mapping) for record in item):
            return [name]
    for name, item in value.items():
        if isinstance(item, Mapping) and depth > 1 and (path := _list_in(item, depth - 1)):
            return [name, *path]
    return None


def _at(value: Any, path: Sequence[str]) -> Any:
    for key in path:
        value = value[key]
    return value


def _rewritten(file: Path, expression: str) -> str:
    """The command that writes the records by themselves."""
    target = compressed.without_suffix(file)
    target = target.with_name(f"{target.stem}_records.json")
    if compressed.is_compressed(file):
        return f"unpack it, and write those by themselves as a list: {expression}"
    program = "import json, sys; data = json.load(open(sys.argv[1])); "
    program += f"json.dump({expression}, open(sys.argv[2], 'w'))"
    return f"write them by themselves:\n{shlex.join(['python', '-c', program, str(file), str(target)])}"
