"""Encoded data sets on disk: found by what they were made of, checked when they are opened, made anew when damaged."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import itertools
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.files import replacing
from tunesmith.messages import logger
from tunesmith_library_caching import (
    ABOUT,
    DATA,
    About,
    Hold,
    damage_of_sizes,
    data_files,
    differences,
    mark_used,
    opened,
    read_about,
    write_about,
)
from tunesmith_library_chat.spelling import NOTHING
from tunesmith_library_configuration.files import digest
from tunesmith_library_configuration.fingerprints import Parts, code_of
from tunesmith_library_configuration.space import shortage
from tunesmith_library_formats import Tally, tallying

from .encoding import Work, encode, write_stream
from .entries import options_of_reading
from .measured import Lengths
from .media import MEDIA, Watch
from .memory import shared
from .reading import suffix_of

if TYPE_CHECKING:
    import datasets

_PROBED = 16  # rows of each data set that its key is made of
_DRAFT = re.compile(r"\.([0-9a-f]{32})-")  # of `replacing`


Make = Callable[[Work, Path, About], About]
"""Writes the folder of an encoded data set, of which something is known; gives what it says of itself."""


@dataclass
class Cache:
    """A folder of encoded data sets, and what this run knows of those that it puts there."""

    folder: Path
    formats: Mapping[str, Parts] = field(default_factory=dict)  # what each format's rows depend on
    made_with: Mapping[str, str] = field(default_factory=dict)  # in words, for who looks at the cache: stage, template
    kept: list[Path] = field(default_factory=list)  # the data sets of this run
    make: Make | None = None  # what makes one that is not there; None encodes it here
    holds: list[Hold] = field(default_factory=list)  # on them, until the run ends


@dataclass(frozen=True)
class Encoded:
    """An encoded data set and what became of its records."""

    examples: datasets.Dataset
    records: int
    tally: Tally  # of what became of them
    cached: bool  # whether it was there already


def encode_cached(work: Work, cache: Cache) -> Encoded:
    """Encode a data set unless the cache has it whole; in memory where the cache cannot be written."""
    try:
        return _encode_cached(work, cache)
    except OSError as error:
        reason = shortage(error, cache.folder)
        name = work.source.name
        logger.warning("data %s is encoded for this run only: %s cannot be written: %s", name, cache.folder, reason)
        return encode_in_memory(work)


def _encode_cached(work: Work, cache: Cache) -> Encoded:
    """Encode a data set unless the cache has it whole; other processes that want the same one wait for it."""
    from filelock import FileLock

    made_of = _made_of(work, cache)
    folder = cache.folder / _key(made_of)
    cache.folder.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(cache.folder)
    hold = Hold(folder)
    about, damage = _opened(folder, work)
    cached = about is not None
    if about is None:
        with FileLock(f"{folder}.lock"):
            about, damage = _opened(folder, work)  # meanwhile another process may have made it
            cached = about is not None
            if about is None:
                _say_why_anew(work, cache.folder, made_of, folder, damage)
                about = (cache.make or _made)(work, folder, {"parts": made_of, "made_with": dict(cache.made_with)})
            hold = Hold(folder)
    mark_used(folder)
    examples = examples_of(folder, about)
    cache.holds.append(hold)
    cache.kept.append(folder)
    return Encoded(examples, int(about["records"]), Tally.from_json(about["tally"]), cached)


def examples_of(folder: Path, about: About) -> datasets.Dataset:
    """The examples of a folder, which stay on disk."""
    import datasets

    parts = [datasets.Dataset.from_file(str(file)) for file in data_files(folder, about)]
    return parts[0] if len(parts) == 1 else datasets.concatenate_datasets(parts)


def in_cache(work: Work, cache: Cache) -> Encoded | None:
    """A data set that the cache has in shards, found without reading data files that are as they were; else None."""
    known = {tuple(stamp[:3]): stamp[3] for about in _abouts(cache.folder) for stamp in about.get("files", ())}
    folder = cache.folder / _key(_made_of(work, cache, lambda file: known.get(tuple(_seen(file))) or digest(file)))
    if not folder.is_dir():
        return None
    hold = Hold(folder)
    try:
        about = read_about(folder)
    except (OSError, ValueError) as error:
        logger.warning("%s: what %s says of itself cannot be read: %s", work.source.key, folder, error)
        return None
    if "shards" not in about or (damage := damage_of_sizes(folder, about)):
        if "shards" in about:
            logger.warning("%s: the encoded data in %s is damaged (%s)", work.source.key, folder, damage)
        return None
    mark_used(folder)
    cache.holds.append(hold)
    cache.kept.append(folder)
    return Encoded(examples_of(folder, about), int(about["records"]), Tally.from_json(about["tally"]), cached=True)


def encode_in_memory(work: Work) -> Encoded:
    """Encode a data set and keep nothing on disk."""
    import datasets
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    with shared(work.files):
        records, tally = encode(work, lambda tables: write_stream(tables, sink))
    return Encoded(datasets.Dataset.from_buffer(sink.getvalue()), records, tally, cached=False)


def _made(work: Work, folder: Path, about: About) -> About:
    """Write `data.arrow`, a stream of the examples, and `about.json`, what it was made of. Gives the latter."""
    import pyarrow

    if folder.is_file():
        folder.unlink()
    examples, watch, lengths = 0, Watch(), Lengths()
    with replacing(folder) as draft:
        draft.mkdir()
        with pyarrow.OSFile(str(draft / DATA), "wb") as sink:

            def write(tables: Any) -> int:
                nonlocal examples
                examples = write_stream(lengths.passed(watch.passed(tables)), sink)
                return examples

            with shared(work.files):
                records, tally = encode(work, write)
        made: dict[str, Any] = {"name": work.source.name, "path": work.source.entry.path, "format": work.format}
        made |= {"records": records, "examples": examples, "tally": tally.to_json()}
        made |= {"files": [stamp(file) for file in work.files], "media": watch.seen(work.media_places)}
        made |= {"made": datetime.datetime.now().astimezone().isoformat(timespec="seconds")}
        made |= {"size": (draft / DATA).stat().st_size, "lengths": lengths.to_json()}
        write_about(draft, {**made, **about})
    return made


def _opened(folder: Path, work: Work) -> tuple[About | None, str | None]:
    """What a folder of the cache says of itself when it is whole, and right for these files; else what is wrong."""
    about, damage = opened(folder)
    if about and about.get("media"):
        changed = Watch.changed(about["media"], data_files(folder, about), work.media_places)
        return (None, changed) if changed else (about, damage)
    return about, damage


def stamp(file: Path) -> list[Any]:
    """Which file it was: its place, size, time in nanoseconds, and digest."""
    return [*_seen(file), digest(file)]


def _seen(file: Path) -> list[Any]:
    there = file.stat()
    return [str(file.resolve()), there.st_size, there.st_mtime_ns]


def _abouts(cache_dir: Path) -> Iterator[About]:
    """What the data sets of a cache say of themselves."""
    for about in cache_dir.glob(f"*/{ABOUT}"):
        with contextlib.suppress(OSError, ValueError):
            yield read_about(about.parent)


def _made_of(work: Work, cache: Cache, digest_of: Callable[[Path], str] = digest) -> Parts:
    """All that an encoded data set depends on, by name.

    Files count by their content and kind, not by where they are and what they are called. The first rows, converted and
    encoded, are part of it: so an edit is noticed of whatever the other parts do not know.
    """
    entry = work.source.entry
    return {
        **(work.encode.parts or {"encoding": work.encode.fingerprint}),
        **cache.formats.get(work.format, {}),
        "code of data": code_of([__name__.partition(".")[0]]),
        "options of data": options_of_reading(work.format, entry, work.max_samples, work.batch_size),
        "files": _hashed([[suffix_of(file), digest_of(file)] for file in work.files]),
        "first rows": _hashed(_probe(work)),
        "control tokens": _hashed(getattr(work.encode.template, "control", NOTHING).tokens),
    }


def _probe(work: Work) -> Sequence[Any]:
    """The first rows and what they are encoded to; of media only how many there are, for their places may change."""
    with tallying():  # what is counted here is counted again
        rows = list(itertools.islice(work.rows(), _PROBED))
        columns = work.table_of(rows).to_pydict() if rows else {}
    counted = [{name: len(value) if name in MEDIA and value else value for name, value in row.items()} for row in rows]
    return counted, {name: values for name, values in columns.items() if name not in MEDIA}


def _key(made_of: Parts) -> str:
    return _hashed(made_of)


def _hashed(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _say_why_anew(work: Work, cache_dir: Path, made_of: Parts, folder: Path, damage: str | None) -> None:
    """Say why a data set that the cache has is encoded once more."""
    if damage:
        logger.warning("%s: the encoded data in %s is damaged (%s) and is made anew", work.source.key, folder, damage)
        return
    abouts = [about.get("parts", {}) for about in _abouts(cache_dir)]
    # of the same kind alone: an evaluation that reads rows has nothing of what a training encodes them by
    alike = [parts for parts in abouts if parts.get("files") == made_of["files"] and parts.keys() == made_of.keys()]
    former = [[other for other in differences(parts, made_of) if other != "first rows"] for parts in alike]
    if former:
        other = ", ".join(sorted(former, key=len)[0]) or "code that was edited"
        logger.info("data %s: the cache has these files encoded otherwise; what differs: %s", work.source.name, other)


def _remove_leftovers(cache_dir: Path) -> None:
    """Delete what killed processes left half written: the drafts that nobody holds the lock of."""
    from filelock import FileLock, Timeout

    for draft in cache_dir.glob(".*-*"):
        key = _DRAFT.match(draft.name)
        if key is None:
            continue
        with contextlib.suppress(Timeout, OSError), FileLock(cache_dir / f"{key[1]}.lock", timeout=0):
            logger.warning("%s was left by a killed process and is deleted", draft)
            shutil.rmtree(draft, ignore_errors=True)
