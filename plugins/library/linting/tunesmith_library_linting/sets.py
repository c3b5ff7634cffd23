"""Data sets read as a run reads them, through the installed data plugin, hubs and formats, but past what is wrong.

A run stops at the first record that its format cannot read. Here each record is given to the format by itself, and what
the format says of it is kept.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith import DataError, hookimpl, plugin
from tunesmith.assemble import Assembly, examine
from tunesmith.catalog import Catalog, Entry
from tunesmith.compose import compose
from tunesmith.messages import logger
from tunesmith.planning import refuse, report
from tunesmith.types import Encoder, Problem, Row
from tunesmith_library_configuration.reading import read_yaml
from tunesmith_library_configuration.recipes import find_recipe
from tunesmith_library_formats.dataset_info import is_dataset_info, sets_in

from .damage import MARK, sound_copy
from .findings import Item

_BATCH = 1000
_FAULT = "\0fault"
_PLACE = "\0place"
_ENTRY = "data.train[0]"

Take = Callable[[Sequence[Item]], None]
"""What is done with some records, in order."""


def read_set(entry: Mapping[str, Any], name: str, take: Take, *, raw: bool = False) -> str:
    """Read a data set and hand its records on, a thousand at a time.

    Args:
        entry: as in `data.train`: path, format, columns, split …
        name: what the items are to call it.
        raw: the records alone are wanted, whatever format they are of.

    Returns: why it could not be read to its end; "" where it was.
    Raises: ConfigError when there is no such file, or nothing tells its format.
    """
    fault, seen = _read(entry, name, take, raw, None, 0)
    path = Path(str(entry["path"])).expanduser()
    if fault:
        with sound_copy(path) as copy:
            if copy is not None:
                fault, _ = _read({**entry, "path": str(copy)}, name, take, raw, path, seen)
    return fault


def _read(
    entry: Mapping[str, Any], name: str, take: Take, raw: bool, original: Path | None, skipped: int
) -> tuple[str, int]:
    """Read a set; `original` is what it is a copy of, of which the first rows were seen before.

    Returns: why it could not be read to its end, and how many records were.
    """
    installed = Catalog.discover()
    catalog = _Lenient(installed.entries(), installed.restriction, installed.strays, installed.hidden)
    if raw:
        entry = {**entry, "format": catalog.names("format")[0]}
    run = _assembled(entry, catalog)
    if isinstance(run, str):
        return run, 0
    reader = _Reader(run, name, take, raw, original, skipped)
    reader.media_dir = _media_dir(entry, str(run.plan.get("data.registry") or ""))
    encoder = Encoder(_rows_alone, None, None, "rows")  # type: ignore[arg-type]
    fault = ""
    try:
        run.hook.build_dataset(fetch=run.fetch, to_rows=reader.to_rows, encode=encoder)
    except DataError as error:
        fault = str(error).replace(f"{_ENTRY}: ", "", 1)
    reader.flush()
    return fault, reader.number


def _media_dir(entry: Mapping[str, Any], registry: str) -> Path | None:
    """The folder in which the media of a set are looked for first: by the call, or by the registry that names it."""
    if entry.get("media_dir"):
        return Path(str(entry["media_dir"])).expanduser()
    here = Path(registry).expanduser()
    file = here if here.is_file() else find_recipe(here)
    if file is None or Path(str(entry["path"])).exists():
        return None
    content, _ = read_yaml(file)
    named = (sets_in(content) if is_dataset_info(content) else content).get(str(entry["path"]))
    found = named.get("media_dir") if isinstance(named, Mapping) else None
    return None if found is None else file.parent / Path(str(found)).expanduser()


def _assembled(entry: Mapping[str, Any], catalog: Catalog) -> Assembly | str:
    """The plugins that read a set; or what is wrong with the first records of its file."""
    composition = compose({"data": {"train": [dict(entry)], "cache": False, "num_proc": 1}}, None, catalog)
    plan, problems, manager = examine(composition, "rows", catalog)
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors and all(str(problem.key) == _ENTRY for problem in errors):
        return "\n".join(problem.message.replace(f"{_ENTRY}: ", "", 1) for problem in errors)
    refuse([_in_words_of_the_call(problem) for problem in problems], plan.origins)
    for warning in problems:
        logger.warning(report([warning], plan.origins))
    manager.hook.configured(plan=plan)
    return Assembly(plan, manager)


def _in_words_of_the_call(problem: Problem) -> Problem:
    """A problem without the key of a configuration, for there is none: `write format=NAME`."""
    named = re.sub(rf"{re.escape(_ENTRY)}={{path: (.*), format: NAME}}", r"\1 format=NAME", problem.advice)
    whole = rf"'{re.escape(_ENTRY)}={{path: (.*), format: (\w+), columns: (.*)}}'"
    named = re.sub(whole, r"\1 format=\2 'columns=\3'", named)
    named = named.replace(f"{_ENTRY}.", "")
    return Problem("", problem.message.replace(f"{_ENTRY}: ", "").replace(f"{_ENTRY}.", ""), named, problem.severity)


class _Reader:
    """Takes the records on their way to the data plugin."""

    def __init__(self, run: Assembly, name: str, take: Take, raw: bool, original: Path | None, skipped: int) -> None:
        self._run, self._name, self._take, self._raw = run, name, take, raw
        self._original, self._skipped = original, skipped
        self._items: list[Item] = []
        self.number = 0
        self.media_dir: Path | None = None

    def to_rows(self, format: str, records: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> Iterator[Row]:
        """One row for each record, whether the format can read it or not."""
        noted = _Noted(records)
        rows = noted if self._raw else self._run.to_rows(format, noted, columns)
        seen = 0
        for row in rows:
            self.number += noted.number - seen
            seen = noted.number
            fault = noted.record.get(MARK) or ("" if self._raw else row.get(_FAULT, ""))
            content = None if fault or self._raw else dict(row)
            file = self._original or noted.path
            if self.number > self._skipped:
                about = (self._name, self.number, noted.place, file, noted.record, content, fault, self.media_dir)
                self._items.append(Item(*about))
            if len(self._items) == _BATCH:
                self.flush()
            yield {"text": ""}

    def flush(self) -> None:
        """Hand on what has not been handed on."""
        items, self._items = self._items, []
        if items:
            self._take(items)


class _Noted(Iterator[Mapping[str, Any]]):
    """Records, of which the last one is remembered."""

    def __init__(self, records: Iterable[Mapping[str, Any]]) -> None:
        self._from, self._records = records, iter(records)
        self.record: Mapping[str, Any] = {}
        self.number = 0

    def __next__(self) -> Mapping[str, Any]:
        self.record = next(self._records)
        self.number += 1
        return self.record

    @property
    def place(self) -> str:
        return str(getattr(self._from, "place", ""))

    @property
    def path(self) -> Path | None:
        path = getattr(self._from, "path", None)
        return Path(path) if path is not None else None


class _One(list[Mapping[str, Any]]):
    """One record, whose place is known already."""

    place = _PLACE


class _Lenient(Catalog):
    """The plugins, but formats give a row for a record that they cannot read, with what they say of it."""

    def load(self, entry: Entry) -> type:
        cls = super().load(entry)
        return _lenient_class(cls) if entry.kind == "format" and hasattr(cls, "to_rows") else cls


def _lenient_class(cls: Any) -> type:
    accepted = inspect.signature(cls.to_rows).parameters

    class Lenient(cls):  # type: ignore[misc]
        __doc__ = cls.__doc__

        @hookimpl
        def to_rows(self, records: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> Iterator[Row]:
            for record in records:
                given = {"records": _One([record]), "columns": columns}
                try:
                    yield from cls.to_rows(self, **{name: given[name] for name in given if name in accepted})
                except (DataError, RecursionError) as error:
                    fault = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
                    yield {_FAULT: fault.removeprefix(f"{_PLACE}: ")}

    Lenient.__name__, Lenient.__qualname__, Lenient.__module__ = cls.__name__, cls.__qualname__, cls.__module__
    return plugin(Lenient)


def _rows_alone(rows: Sequence[Row], processor: Any, template: Any) -> dict[str, list[int]]:
    """In place of a stage: nothing is encoded."""
    return {"row": [0] * len(rows)}
