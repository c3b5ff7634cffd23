"""The media of rows and examples: where texts show them, and their files, which are found when rows are read, noticed
while examples are written, and looked at again when those are read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import DataError
from tunesmith.types import Row
from tunesmith_library_media.holding import located
from tunesmith_library_media.placing import placed

if TYPE_CHECKING:
    import pyarrow

MEDIA = ("images", "videos", "audios")
"""Columns of rows and examples whose texts are places of files, beside the data file if they are there."""


def without_bad_media(path: str) -> str:
    """How to go on without rows whose media are no good."""
    return f"tunesmith data check {path} --fix GOOD.jsonl lists such rows, and writes the others"


def with_media(row: Row, folders: Sequence[Path], place: str, path: str) -> Row:
    """The row with its media where its texts show them, and their files found in the first of the folders that has
    them, where one has.

    Args:
        place, path: of the row's record, and of its data set, for messages.

    Raises: DataError where texts do not show as many as there are.
    """
    try:
        row = placed(row)
    except DataError as error:
        raise DataError(f"{place}: {error}\n  {without_bad_media(path)}") from error
    found = {name: [located(item, folders) for item in row[name]] for name in MEDIA if isinstance(row.get(name), list)}
    return row | found if found else row


def holds_media(column: str) -> bool:
    """Whether a column of examples has media; stages that compare answers have `chosen_images` and the like."""
    return column.rpartition("_")[2] in MEDIA


class Watch:
    """Looks at tables on their way for the files that they name; it remembers none of them."""

    def __init__(self) -> None:
        self._state = 0
        self._names_some = False

    def passed(self, tables: Iterable[pyarrow.Table]) -> Iterator[pyarrow.Table]:
        for table in tables:
            for path in _named(table):
                self._state += _state_of(path)
                self._names_some = True
            yield table

    def seen(self, folders: Iterable[Path]) -> dict[str, Any] | None:
        """What to remember; None where no media are named.

        Args:
            folders: in which media are looked for.
        """
        if not self._names_some:
            return None
        return {"folders": [str(folder.resolve()) for folder in folders], "state": _hexadecimal(self._state)}

    @staticmethod
    def together(seen: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
        """What to remember of several parts of a data set."""
        named = [part for part in seen if part is not None]
        states = [int(part["state"], 16) for part in named]
        return {**named[0], "state": _hexadecimal(sum(states))} if named else None

    @staticmethod
    def changed(seen: Mapping[str, Any], data: Iterable[Path], folders: Iterable[Path]) -> str | None:
        """What has become of the media since; None when they are as they were.

        Args:
            seen: what `seen` gave.
            data: the examples, streams of Arrow's.
        """
        if seen["folders"] != [str(folder.resolve()) for folder in folders]:
            return "its media are looked for in another folder"
        state = sum(_state_of_all(file) for file in data)
        return None if _hexadecimal(state) == seen["state"] else "media files have changed"


def _state_of_all(data: Path) -> int:
    """The states of all media that a stream of examples names, added."""
    import pyarrow

    with pyarrow.memory_map(str(data)) as source:
        tables = (pyarrow.Table.from_batches([batch]) for batch in pyarrow.ipc.open_stream(source))
        return sum(_state_of(path) for table in tables for path in _named(table))


def _named(table: pyarrow.Table) -> Iterator[str]:
    """The paths in the columns of media; bytes that stand beside them are not copied."""
    import pyarrow.compute as compute
    from pyarrow import types

    for name in filter(holds_media, table.column_names):
        values = table[name]
        while types.is_list(values.type) or types.is_large_list(values.type):
            values = compute.list_flatten(values)
        if types.is_struct(values.type) and values.type.get_field_index("path") >= 0:
            values = compute.struct_field(values, "path")
        if types.is_string(values.type) or types.is_large_string(values.type):
            yield from (path for path in values.to_pylist() if path is not None)


def _state_of(path: str) -> int:
    """The digest of a file's size and time; those of several are added, in whatever order they come."""
    try:
        there = os.stat(path)
        said = f"{path}\0{there.st_size}\0{there.st_mtime_ns}"
    except OSError:
        said = f"{path}\0"
    return int.from_bytes(hashlib.blake2b(said.encode(), digest_size=16).digest())


def _hexadecimal(state: int) -> str:
    return f"{state % 2**128:032x}"
