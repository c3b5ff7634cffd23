"""Files of records that a command writes: JSON Lines or a JSON list, gzipped where the name says so."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from tunesmith import DataError, TunesmithError
from tunesmith.files import replacing
from tunesmith_library_configuration.locks import refuse_inside
from tunesmith_library_formats import MEDIA
from tunesmith_library_media.holding import located

_POSSIBLE = ".jsonl, .json, .jsonl.gz, .json.gz"


@contextmanager
def writing(path: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Write records one by one; the file is there once all are.

    Raises: TunesmithError when there is something already, a process trains into that folder, or the name says no kind
    that is written; DataError for a record that JSON has no place for.
    """
    suffixes = path.suffixes[-2:] if path.suffix == ".gz" else path.suffixes[-1:]
    if not suffixes or suffixes[0] not in (".json", ".jsonl"):
        raise TunesmithError(f"{path}: records are written as JSON\n  possible: {_POSSIBLE}")
    if path.exists():
        raise TunesmithError(f"{path} exists already\n  remove it, or choose another name")
    opened: Any = gzip.open if path.suffix == ".gz" else open
    refuse_inside(path)
    with replacing(path) as draft, opened(draft, "wt", encoding="utf-8", newline="\n") as stream:
        yield from _records(stream, path, listed=suffixes[0] == ".json")


def with_media(record: Mapping[str, Any], file: Path | None, out: Path) -> Mapping[str, Any]:
    """A record whose media, which are looked for beside its file, are also found from the file that is written."""
    if file is None or file.parent.resolve() == out.parent.resolve():
        return record
    moved = {name: located(record[name], [file.parent.resolve()]) for name in MEDIA if record.get(name)}
    return {**record, **moved} if moved else record


def _records(stream: TextIO, path: Path, listed: bool) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    written = 0

    def write(record: Mapping[str, Any]) -> None:
        nonlocal written
        try:
            text = json.dumps(record, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: a record cannot be written as JSON: {error}") from error
        before = (",\n " if written else "[\n ") if listed else ""
        stream.write(f"{before}{text}" + ("" if listed else "\n"))
        written += 1

    yield write
    if listed:
        stream.write("\n]\n" if written else "[]\n")
