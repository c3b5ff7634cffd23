"""Which format a data set is of, told by the installed formats from its first record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import DataError, announce
from tunesmith.messages import logger
from tunesmith_library_configuration.fingerprints import Parts, plugin_parts
from tunesmith_library_formats import Match, matches, reads_of

from .archives import is_archive, unpacked
from .entries import Entry, Source
from .reading import Records, is_data_file, read_records

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_PEEKED = 20  # records
METADATA = {"dataset_dict.json", "dataset_info.json", "dataset_infos.json", "state.json"}  # beside saved data sets

Formats = Callable[[], Mapping[str, type]]
"""The classes of the installed formats by name, which are imported when they are asked for."""


@dataclass(frozen=True)
class Told:
    """The format of an entry."""

    name: str | None  # None when nothing tells it
    matches: tuple[Match, ...] = ()  # where the first record told it: the formats that it looks like, the best first

    @property
    def tied(self) -> tuple[Match, ...]:
        """The formats that the record looks like equally much; () when one is ahead."""
        best = [match for match in self.matches if len(match.needs) == len(self.matches[0].needs) and match.installed]
        return tuple(best) if len(best) > 1 else ()


def format_of(source: Source, formats: Formats) -> Told:
    """The format of an entry; where it is `auto`, by the first record of a local file.

    Raises: DataError when that cannot be read.
    """
    if source.entry.format != "auto":
        return Told(source.entry.format)
    records = first_records(source)
    return look_at(records[0], source, formats) if records else Told(None)


def detected_formats(sources: Sequence[Source], formats: Formats, *, tell: bool) -> dict[str, str]:
    """The formats of entries that their first record told, by the key of the entry.

    Args:
        tell: announce them.

    Raises: DataError when a local file cannot be read.
    """
    found = {}
    for source in sources:
        told = format_of(source, formats)
        if told.name and told.matches:
            found[source.key] = told.name
            if tell:
                announce(f"{source.key}.format", told.name, f"by {in_words(told.matches[0], source.entry)}")
    return found


def possible_formats(source: Source, formats: Formats) -> list[str]:
    """The formats that an entry may turn out to have: all that tell records, where it is to be fetched first.

    Raises: DataError when a local file cannot be read.
    """
    name = format_of(source, formats).name
    if name is None and source.hub("huggingface") != "local":
        return [name for name, cls in formats().items() if hasattr(cls, "looks_like")]
    return [name] if name else []


def format_of_files(source: Source, files: Sequence[Path], formats: Formats) -> str:
    """The format of a data set that was not there before it was fetched, by its first record; announced.

    Raises: DataError when no installed format looks like it.
    """
    key, path = f"{source.key}.format", source.entry.path
    record = next((record for file in files for record in peek(file, source)), None)
    if record is None:
        raise DataError(f"{source.key}: {path} has no records")
    told = look_at(record, source, formats)
    if told.name is None:
        advice = f"write {key}=NAME and say with {source.key}.columns where its fields are\n{listed(formats())}"
        raise DataError(f"{source.key}: {path} is of no known format; found: {', '.join(record)}\n  {advice}")
    if not told.matches[0].installed:
        raise DataError(f"{source.key}: {path} is of format {told.name}\n  pip install tunesmith-format-{told.name}")
    if told.tied:
        alike = " and ".join(f"{match.format} ({in_words(match, source.entry)})" for match in told.tied)
        logger.warning("%s: %s looks as much like %s; %s is taken", source.key, path, alike, told.name)
    announce(key, told.name, f"by {in_words(told.matches[0], source.entry)}")
    return told.name


def provenance(plan: Plan) -> tuple[dict[str, Parts], dict[str, str]]:
    """What the rows of each format depend on, and the plugins that take part in words, for who looks at the cache."""
    formats = {name: plan.plugin("format", name) for name in plan.names("format")}
    said = {"model": getattr(plan.plugin("model"), "path", None)}
    said |= {kind: plan.name(kind) for kind in ("template", "stage")}
    parts = {name: plugin_parts({f"format {name}": format}) for name, format in formats.items()}
    return parts, {kind: value for kind, value in said.items() if value}


def look_at(record: Mapping[str, Any], source: Source, formats: Formats) -> Told:
    """The formats that a record of an entry looks like, whatever format is written there."""
    entry = source.entry
    found = matches(record, entry.names, formats())
    return Told(found[0].format if found else None, tuple(found))


def in_words(match: Match, entry: Entry) -> str:
    """The columns that decided, by their names in the file."""
    named = entry.names
    return ", ".join(named.get(column, column) for column in match.columns)


def listed(formats: Mapping[str, type]) -> str:
    """What each installed format reads, one a line, for an error."""
    width = max(map(len, formats), default=0)
    lines = [f"  {name:<{width}}  {reads_of(cls)}" for name, cls in formats.items()]
    return "\n".join(["what each installed format reads:", *(lines or ["  (none is installed)"])])


def first_file(source: Source) -> Path | None:
    """A file of a local data set to look into, of the wanted split where names tell; None when there is none."""
    base = unpacked(Path(source.base).expanduser())
    if base.is_file():
        return base
    if not base.is_dir():
        return None
    split = source.entry.split or "train"
    for pattern in [source.pattern] if source.pattern else ["*", "**/*"]:
        found = [path for path in base.glob(pattern) if source.pattern or not path.name.startswith(".")]
        found = [path for path in found if is_data_file(path) and path.name not in METADATA]
        archives = [] if found else sorted(path for path in base.glob(pattern) if is_archive(path))
        if archives:
            base = unpacked(min(archives, key=lambda path: (split not in path.name, path)))
            found = [path for path in base.rglob("*") if is_data_file(path) and path.name not in METADATA]
        if found:
            return min(found, key=lambda path: (split not in str(path.relative_to(base)), path))
    return None


def peek(file: Path, source: Source) -> Records:
    """The first records of a file, with their places. While it is read: DataError."""
    return read_records(file, source.entry.sample_by, _PEEKED)


def first_records(source: Source) -> list[dict[str, Any]]:
    """The first records of a local data set, [] when it has none. Raises: DataError."""
    file = first_file(source)
    return list(peek(file, source)) if file else []
