"""Which format a record is of: each format is asked, and of several that say yes the one that needs the most wins.

A record with `instruction`, `output` and `text` looks like Alpaca's and like plain text; Alpaca needs two parts of it,
text one, so Alpaca wins. Parts are columns and the keys inside them. What a format needs is found by asking it again
with parts taken away: whoever looks at all that it needs, at the `role` of a message too and not only for `messages`,
wins over who does not. Where the columns of a shape that a format declares in `reads` are all there, and it says yes to
them alone, they have decided: a `prompt` with its `completion`, though the prompt would do.
"""

from __future__ import annotations

import functools
import importlib.resources
import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith.messages import logger

Part = tuple[str, ...]
"""A column, `("messages",)`, or a key of the mappings in it, `("messages", "role")`."""


@dataclass(frozen=True)
class Match:
    """A format that a record looks like."""

    format: str  # its name
    needs: tuple[Part, ...]  # of the record, without which it would say no
    installed: bool = True

    @property
    def columns(self) -> list[str]:
        """The columns that decided."""
        return [part[0] for part in self.needs if len(part) == 1]


def matches(record: Mapping[str, Any], columns: Mapping[str, str], formats: Mapping[str, type]) -> list[Match]:
    """The formats that a record looks like, the best first; of those that need equally much the first by name.

    Formats of the project that are not installed are among them, by their columns alone: so that a run names what is to
    be installed.

    Args:
        record: the first one of a file, as it stands there.
        columns: the user's mapping, field to column; the formats see those fields beside the record's columns.
        formats: the classes of the installed formats by name.
    """
    fields = {**record, **{field: record.get(column) for field, column in columns.items()}}
    found = [Match(name, tuple(_needs(cls, fields))) for name, cls in formats.items() if _looks_like(cls, fields)]
    for name, reads in known_formats().items():
        shapes = [shape for shape in shapes_of(reads) if set(shape) <= fields.keys()]
        if shapes and name not in formats:
            found.append(Match(name, tuple((column,) for column in max(shapes, key=len)), installed=False))
    return sorted(found, key=lambda match: (-len(match.needs), not match.installed, match.format))


def _looks_like(format: Any, record: Mapping[str, Any]) -> bool:
    """What a format says of a record; no, where it stumbles: nobody has selected it."""
    try:
        return bool(format.looks_like(record))
    except Exception:
        logger.debug("%s cannot tell whether it reads a record", format, exc_info=True)
        return False


def _needs(format: Any, record: Mapping[str, Any]) -> Iterator[Part]:
    """The columns that make the format say yes, see above, and the keys in them that it needs."""
    kept = _declared(format, record)
    for column in [] if kept else reversed(list(record)):
        rest = {name: value for name, value in (kept or record).items() if name != column}
        if _looks_like(format, rest):
            kept = rest
    kept = kept or dict(record)
    for column, value in kept.items():
        yield (column,)
        for key in _keys(value):
            if not _looks_like(format, {**kept, column: _without(value, key)}):
                yield (column, key)


def _declared(format: Any, record: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of the largest declared shape to which alone the format says yes; {} where there is none."""
    shapes = shapes_of(getattr(format, "reads", ""))
    for shape in sorted(shapes, key=len, reverse=True):
        kept = {name: record[name] for name in record if name in shape}
        if len(kept) == len(set(shape)) and _looks_like(format, kept):
            return kept
    return {}


def _keys(value: Any) -> list[str]:
    """The keys of a mapping, or of the mappings in a list."""
    items = value if isinstance(value, list) else [value]
    return list(dict.fromkeys(key for item in items if isinstance(item, Mapping) for key in item))


def _without(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        return {name: item for name, item in value.items() if name != key}
    return [_without(item, key) if isinstance(item, Mapping) else item for item in value]


def shapes_of(reads: str) -> list[list[str]]:
    """The columns of each shape that a format reads: `messages; prompt, completion` is two shapes."""
    shapes = ([column.strip() for column in shape.split(",") if column.strip()] for shape in reads.split(";"))
    return [shape for shape in shapes if shape]


def reads_of(format: type) -> str:
    """What a format says that it reads, for a list of formats; else the first line of its documentation."""
    return getattr(format, "reads", "") or (inspect.getdoc(format) or "").partition("\n")[0]


@functools.cache
def known_formats() -> Mapping[str, str]:
    """What the project's formats read, by name, whether they are installed or not."""
    text = importlib.resources.files("tunesmith_library_formats").joinpath("known_formats.json").read_text("utf-8")
    known: Mapping[str, str] = json.loads(text)
    return known


def first_message(value: Any) -> Mapping[str, Any] | None:
    """The first message of what may be a conversation, for `looks_like`.

    Returns: {} of what is no conversation; None where nothing can be seen of one: null, no messages, JSON text.
    """
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        return None
    if value is None or value == []:
        return None
    first = value[0] if isinstance(value, list) else value
    return first if isinstance(first, Mapping) else {}
