"""The data sets of a workspace: found, opened, read in canonical form, noted on, saved as versions."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tunesmith import DataError, TunesmithError
from tunesmith_library_formats import ALONE

from ..workspace import Workspace
from .formats import Reading, guess
from .journal import Journal, Marks
from .listing import about as about_file
from .listing import files
from .opening import Found, Opened, digest, is_data, open_file
from .prompts import Prompts
from .registry import NAME, entries
from .uploads import Uploads
from .versions import save as save_version
from .versions import versions
from .worker import Worker

_FROM_HUB = 10_000  # rows of a set of a hub that are fetched to be looked at
_SAMPLED = 20  # records whose columns are told


@dataclass(frozen=True)
class Named:
    """What a name of a data set means."""

    name: str  # as the user wrote it
    path: Path | None  # its file; None of a folder, a pattern, or a hub's
    options: Mapping[str, Any]  # of its entry in a registry: path, format, columns …

    @property
    def words(self) -> list[str]:
        """How the commands of `tunesmith data` are told of it."""
        options = {key: value for key, value in self.options.items() if key not in ("path", "file", "columns", "tags")}
        columns = {**(self.options.get("columns") or {}), **(self.options.get("tags") or {})}
        columns.pop(ALONE, None)
        said = [
            f"{key}={json.dumps(value) if isinstance(value, list | dict) else value}" for key, value in options.items()
        ]
        where = str(self.options.get("path") or self.name)
        return [where, *said, *(f"columns.{field}={column}" for field, column in columns.items())]


class Data:
    """What a front end does with data sets.

    Args:
        workspace: whose files may be read and written.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.worker = Worker(workspace.root)
        self.previews = Worker(workspace.root)  # of its own, so that no long check keeps a form waiting
        self._journals: dict[str, Journal] = {}
        self._appending = threading.Lock()

    @cached_property
    def prompts(self) -> Prompts:
        """The library of prompts."""
        return Prompts(self.workspace.root / "prompts.yaml")

    @cached_property
    def uploads(self) -> Uploads:
        """Files on their way."""
        return Uploads(self.workspace.state / "uploads")

    def close(self) -> None:
        """End the processes of the layer."""
        self.worker.kill()
        self.previews.kill()

    def listed(self, search: str = "") -> list[dict[str, Any]]:
        """Data files, the newest first, then entries of the registry, in whose names a text stands: first those whose
        files are here."""
        files = sorted(self._files(), key=lambda one: one["modified"], reverse=True)
        found = [*files, *sorted(self._entries(), key=lambda one: not one["there"])]
        wanted = search.lower()
        return [one for one in found if wanted in f"{one['name']} {one.get('path')} {one.get('format')}".lower()]

    def _entries(self) -> Iterable[dict[str, Any]]:
        own = self.workspace.root / NAME
        for name, options in entries(self.workspace.root).items():
            path = Path(str(options["path"]))
            local = path.is_absolute()
            about = about_file(path) if local and path.is_file() and self._is_inside(path) else {}
            yield {
                **{"name": name, "kind": "entry", "rows": None, "size": None, "modified": None, "columns": []},
                **about,
                "path": self.workspace.shown(path) if local else options["path"],
                "options": {key: value for key, value in options.items() if key not in ("file", "path")},
                "format": options.get("format") or about.get("format"),
                "there": path.exists() if local else None,
                "file": self.workspace.shown(options["file"]),
                "editable": options["file"] == own,
            }

    def _files(self) -> Iterable[dict[str, Any]]:
        folders = dict.fromkeys(folder for folder in self.workspace.folders if folder != self.workspace.runs)
        seen = set()
        for folder in folders:
            for path in files(folder, self.workspace.runs):
                if path not in seen and self._is_inside(path):
                    seen.add(path)
                    shown = self.workspace.shown(path)
                    yield {"name": shown, "kind": "file", "path": shown, "there": True, **about_file(path)}

    def _is_inside(self, path: Path) -> bool:
        try:
            return bool(self.workspace.path(path))
        except TunesmithError:
            return False

    def named(self, data: str) -> Named:
        """What a name means: a file of the workspace, else an entry of the registry, else an address of a hub."""
        if data and "://" not in data:
            entry = entries(self.workspace.root).get(data) if "/" not in data else None
            if entry is None and is_data(Path(data)):
                return Named(data, self.workspace.path(data), {})
            if entry is not None:
                path = Path(str(entry["path"]))
                file = self.workspace.path(path) if path.is_absolute() else None
                options = {key: value for key, value in entry.items() if key != "file"}
                return Named(data, file if file and file.is_file() else None, options)
        if data and not data.startswith((".", "/", "~")) and not (self.workspace.root / data).exists():
            return Named(data, None, {"path": data})
        return Named(data, None, {"path": str(self.workspace.path(data))})

    def opened(self, data: str) -> Opened:
        """A set's records by their numbers. Raises: TunesmithError where it cannot be read."""
        named = self.named(data)
        state = self.workspace.state / "data"
        state.mkdir(exist_ok=True)
        if named.path is not None:
            return open_file(named.path, str(named.path), state, self._unpack)
        copy = state / f"{digest(data, json.dumps(dict(named.options), default=str, sort_keys=True))}.jsonl"
        if not copy.is_file():
            options = {key: value for key, value in named.options.items() if key != "path"}
            where = str(named.options.get("path") or data)
            self.worker.ask("rows", data=where, out=str(copy), options=options, most=_FROM_HUB)
        return open_file(copy, data, state, self._unpack)

    def _unpack(self, data: str, out: Path) -> None:
        self.worker.ask("rows", data=data, out=str(out))

    def reading(self, data: str, opened: Opened | None = None, format: str = "") -> Reading:
        """How a set's records are read: as its entry says, else as its first record looks."""
        options = self.named(data).options
        columns = {**(options.get("columns") or {}), **(options.get("tags") or {})}
        known = format or str(options.get("format") or "auto")
        if known != "auto":
            return Reading(known, columns)
        first = next((found.record for found in (opened or self.opened(data)).page(1, _SAMPLED) if found.record), None)
        return Reading(guess(first, columns), columns)

    def about(self, data: str) -> dict[str, Any]:
        """A set as a whole: how many rows, of what format, with which columns, its versions, its notes."""
        named, opened = self.named(data), self.opened(data)
        sampled = [found.record for found in opened.page(1, _SAMPLED) if found.record is not None]
        columns = dict.fromkeys(name for record in sampled for name in record)
        marks = self.journal(data).marks()
        return {
            "name": data,
            "path": self.workspace.shown(named.path) if named.path else str(named.options.get("path") or data),
            "format": self.reading(data, opened).format or None,
            "mapped": dict(named.options.get("columns") or {}),
            "rows": opened.count,
            "size": named.path.stat().st_size if named.path else None,
            "modified": named.path.stat().st_mtime if named.path else None,
            "columns": list(columns),
            "partial": named.path is None and opened.count >= _FROM_HUB,
            "versions": versions(named.path) if named.path else [],
            "saveable": named.path is not None,
            "changed": sum(one.record is not None or one.deleted for one in marks.values()),
        }

    def told(self, data: str, found: Sequence[Found], reading: Reading) -> list[dict[str, Any]]:
        """Rows as the interface has them: the record, its canonical form or why there is none, and its notes."""
        marks = self.journal(data).marks()
        return [_told(one, marks.get(one.row, Marks()), reading) for one in found if not one.is_blank]

    def journal(self, data: str) -> Journal:
        """The notes about a set."""
        named = self.named(data)
        key = str(named.path) if named.path else data
        if key not in self._journals:
            self._journals[key] = Journal(self.workspace.state / "notes" / f"{digest(key)}.jsonl")
        return self._journals[key]

    def save(
        self, data: str, author: str, what: str, note: str, write: Callable[[Path], tuple[int, dict[str, int]]]
    ) -> dict[str, Any]:
        """Save a version beside a set, see `versions.save`; its `path` is told, too."""
        path = self.file(data)
        made = save_version(path, author, what, note, write)
        return {**made, "path": self.workspace.shown(path.with_name(made["file"]))}

    def file(self, data: str) -> Path:
        """The file of a set. Raises: DataError where it is none of the workspace."""
        named = self.named(data)
        if named.path is None:
            raise DataError(f"{data} is no file of the workspace\n  import it first, so that there is a place for it")
        return named.path

    def append(self, data: str, record: Mapping[str, Any]) -> int:
        """Add a record at the end of a file of JSON Lines, which is made if need be. Returns: its row.

        Raises: TunesmithError for a path outside the workspace, or of another kind.
        """
        path = self.workspace.path(data)
        if path.suffix != ".jsonl":
            raise DataError(f"{data}: rows are added to JSON Lines\n  name a file that ends in .jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(dict(record), ensure_ascii=False).encode() + b"\n"
        with self._appending, path.open("a+b") as stream:
            if stream.tell():
                stream.seek(-1, 2)
                line = line if stream.read(1) == b"\n" else b"\n" + line
            stream.write(line)
        return Opened(self._lines(path)).count

    def _lines(self, path: Path) -> Any:
        from .lines import Lines

        return Lines(path)


def _told(found: Found, marks: Marks, reading: Reading) -> dict[str, Any]:
    record = found.record if marks.record is None else marks.record
    content, fault = (None, found.fault) if record is None else reading.row(record)
    return {
        "row": found.row,
        "record": record,
        "original": found.record if marks.record is not None else None,
        "text": found.text if record is None else "",
        "content": content,
        "fault": fault,
        "length": len(found.text),
        "marks": marks.to_json(),
    }
