"""`tunesmith data convert`, `sample`, `stats` and `list`."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from tunesmith import DataError, TunesmithError
from tunesmith.catalog import Catalog
from tunesmith.cli.output import say
from tunesmith.cli.tables import print_table
from tunesmith.errors import ConfigError, choices
from tunesmith_library_configuration.reading import read_yaml
from tunesmith_library_configuration.recipes import find_recipe
from tunesmith_library_formats import Share, Tally, dataset_info, tallying
from tunesmith_library_formats.writing import WRITERS
from tunesmith_library_linting import Item, TooLong
from tunesmith_library_linting.statistics import Statistics

from .inputs import entries_of, named, read
from .outputs import with_media, writing

_REGISTRY = "conf/datasets.yaml"  # where nothing else is said
_WIDTH = 300  # characters of a message that is shown


def convert(words: Sequence[str], out: Path, format: str) -> int:
    """Write a data set's rows as records of another format.

    Returns: how many rows were left out.
    Raises: TunesmithError for a format that cannot be written, and for several sets.
    """
    paths, options = entries_of(words)
    if len(paths) > 1:
        raise TunesmithError(f"one data set is converted at a time, and {len(paths)} are named: {', '.join(paths)}")
    ((name, path),) = named(paths).items()
    made = _Conversion(writer_of(format), out)
    with writing(out) as made.write:
        fault = read(path, name, options, made.take)
        if fault:
            raise DataError(f"{path}: {fault}")
    say(f"{out}: {made.written:,} records of {format}")
    if made.left_out:
        total = made.written + made.left_out
        say(f"  {made.left_out:,} of {total:,} rows are left out; the first is {made.first}", err=True)
    for share in made.tally.shares.values():
        say(f"  {share.of(made.written)}", err=True)
    return made.left_out


@dataclass
class _Conversion:
    """Rows on their way to another format."""

    to_record: Callable[[Any], dict[str, Any]]
    out: Path
    write: Callable[[Mapping[str, Any]], None] = print
    written: int = 0
    left_out: int = 0
    first: str = ""  # the first row that is left out, and why
    tally: Tally = field(default_factory=Tally)  # of rows that lose something

    def take(self, items: Sequence[Item]) -> None:
        for item in items:
            try:
                if item.content is None:
                    raise DataError(item.fault)
                with tallying() as of_row:
                    record = self.to_record(item.content)
            except DataError as error:
                self.left_out += 1
                self.first = self.first or f"row {item.row} ({item.place}): {error}"
                continue
            self.write(with_media(record, item.file, self.out))
            self.written += 1
            self.tally.add(Share(what, 1, first=f"row {item.row}") for what in of_row.shares)


def writer_of(format: str) -> Callable[[Any], dict[str, Any]]:
    """What makes a record of a row: the installed format's `to_record`, or else one of the project's.

    Raises: TunesmithError with those that are possible.
    """
    installed = Catalog.discover().classes("format")
    own = {name: cls for name, cls in installed.items() if hasattr(cls, "to_record")}
    if format in own:
        made: Callable[[Any], dict[str, Any]] = own[format]().to_record
        return made
    if format not in WRITERS:
        possible = sorted({*WRITERS, *own})
        raise TunesmithError(f"--to {format}: there is no such format to write\n  {choices(format, possible)}")
    return WRITERS[format]


def sample(words: Sequence[str], count: int, seed: int, as_json: bool) -> None:
    """Print rows that are drawn at random, each with the same chance, in their order."""
    paths, options = entries_of(words)
    for name, path in named(paths).items():
        drawn: list[Item] = []
        numbers = random.Random(seed)

        def take(items: Sequence[Item], drawn: list[Item] = drawn, numbers: random.Random = numbers) -> None:
            for item in items:
                if len(drawn) < count:
                    drawn.append(item)
                elif (index := numbers.randrange(item.row)) < count:  # algorithm R (Vitter 1985)
                    drawn[index] = item

        fault = read(path, name, options, take)
        for item in sorted(drawn, key=lambda item: item.row):
            _show(item, as_json)
        if fault:
            raise DataError(f"{path}: {fault}")


def _show(item: Item, as_json: bool) -> None:
    about = {"data": item.data, "row": item.row, "place": item.place}
    if as_json:
        content = {"fault": item.fault} if item.content is None else dict(item.content)
        click.echo(json.dumps({**about, **content}, ensure_ascii=False, default=str))
        return
    say(f"── {item.data}, row {item.row} ({item.place})")
    if item.content is None:
        say(f"   cannot be read: {item.fault}")
    for name, value in (item.content or {}).items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping) and "role" in value[0]:
            for message in value:
                calls = message.get("tool_calls")
                called = f" calls {json.dumps(calls, ensure_ascii=False, default=str)}" if calls else ""
                click.echo(f"   {name}.{message['role']}: {_cut(str(message['content']) + called)}")
        else:
            click.echo(f"   {name}: {_cut(value if isinstance(value, str) else json.dumps(value, default=str))}")


def _cut(text: str) -> str:
    text = text.replace("\n", "\\n")
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def stats(words: Sequence[str], lengths: TooLong, as_json: bool) -> None:
    """Print what data sets are made of."""
    from .checking import print_lengths

    paths, options = entries_of(words)
    counted = Statistics(lengths)
    faults = {name: read(path, name, options, counted.look) for name, path in named(paths).items()}
    found = counted.to_json()
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        for data, about in found.items():
            click.echo(data)
            for what, counts in about.items():
                if what != "lengths" and counts:
                    say(f"  {what}: " + ", ".join(f"{count:,} {name}" for name, count in counts.items()))
            print_lengths(lengths.lengths(data))
    for name, fault in faults.items():
        if fault:
            raise DataError(f"{name}: {fault}")


def known(registry: str | None) -> None:
    """Print the data sets of a registry by name, and those of the `dataset_info.json` that names are looked up in.

    Raises: TunesmithError when there is no such file.
    """
    here = Path(registry or _REGISTRY).expanduser()
    file = here if here.is_file() else find_recipe(here)
    infos = [info for folder in (Path(), Path("data")) if (info := folder / dataset_info.FILE).is_file()]
    tables = {found: entries for found in infos if (entries := _entries_of_info(found))}
    if file is not None:
        content, _ = read_yaml(file)
        translated = _entries_of_info(file)
        if not content:
            raise TunesmithError(f"{file} has no entries")
        tables = {file: translated or content, **{info: found for info, found in tables.items() if info != file}}
    elif registry or not tables:
        raise TunesmithError(f"there is no file {here} (looked from {Path.cwd()})\n  name another with --registry")
    for found, entries in tables.items():
        print_table(("name", "path", "format", "more"), [_line(name, value) for name, value in entries.items()])
        say(f"{len(entries)} data sets of {found}; write data.train=[NAME]")


def _entries_of_info(file: Path) -> dict[str, Any]:
    """The data sets of a `dataset_info.json` as entries of ours; none of another file."""
    try:
        content, _ = read_yaml(file)
    except ConfigError:  # nobody asked for it
        return {}
    if not dataset_info.is_dataset_info(content):
        return {}
    return dataset_info.sets_in(content)


def _line(name: str, value: Any) -> tuple[str, str, str, str]:
    entry = {"path": value} if isinstance(value, str) else dict(value) if isinstance(value, Mapping) else {}
    more = [f"{key}={json.dumps(item) if isinstance(item, Mapping) else item}" for key, item in entry.items()]
    rest = [text for text in more if not text.startswith(("path=", "format="))]
    return str(name), str(entry.get("path", "")), str(entry.get("format", "auto")), " ".join(rest)
