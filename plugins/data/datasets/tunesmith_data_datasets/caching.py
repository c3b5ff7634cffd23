"""Encoded data sets on disk: found by what they were made of, checked when they are opened, made anew when damaged."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import itertools
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.files import replacing
from tunesmith.messages import logger
from tunesmith_library_caching import (
    DATA,
    About,
    Hold,
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
from .media import MEDIA, Watch
from .memory import shared
from .reading import suffix_of

if TYPE_CHECKING:
    import datasets

_PROBED = 16  # rows of each data set that its key is made of
_DRAFT = re.compile(r"\.([0-9a-f]{32})-")  # of `replacing`


@dataclass
class Cache:
    """A folder of encoded data sets, and what this run knows of those that it puts there."""

    folder: Path
    formats: Mapping[str, Parts] = field(default_factory=dict)  # what each format's rows depend on
    made_with: Mapping[str, str] = field(default_factory=dict)  # in words, for who looks at the cache: stage, template
    kept: list[Path] = field(default_factory=list)  # the data sets of this run
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
    import datasets
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
                about = _made(work, folder, {"parts": made_of, "made_with": dict(cache.made_with)})
            hold = Hold(folder)
    mark_used(folder)
    examples = datasets.Dataset.from_file(str(folder / DATA))
    cache.holds.append(hold)
    cache.kept.append(folder)
    return Encoded(examples, int(about["records"]), Tally.from_json(about["tally"]), cached)


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
    examples, watch = 0, Watch()
    with replacing(folder) as draft:
        draft.mkdir()
        with pyarrow.OSFile(str(draft / DATA), "wb") as sink:

            def write(tables: Any) -> int:
                nonlocal examples
                examples = write_stream(watch.passed(tables), sink)
                return examples

            with shared(work.files):
                records, tally = encode(work, write)
        made: dict[str, Any] = {"name": work.source.name, "path": work.source.entry.path, "format": work.format}
        made |= {"records": records, "examples": examples, "tally": tally.to_json()}
        made |= {"files": [_stamp(file) for file in work.files], "media": watch.seen(work.media_places)}
        made |= {"made": datetime.datetime.now().astimezone().isoformat(timespec="seconds")}
        made |= {"size": (draft / DATA).stat().st_size}
        write_about(draft, {**made, **about})
    return made


def _opened(folder: Path, work: Work) -> tuple[About | None, str | None]:
    """What a folder of the cache says of itself when it is whole, and right for these files; else what is wrong."""
    about, damage = opened(folder)
    if about and about.get("media") and (changed := Watch.changed(about["media"], folder / DATA, work.media_places)):
        return None, changed
    return about, damage


def _stamp(file: Path) -> list[Any]:
    """Which file it was: its place, size, time in nanoseconds, and digest."""
    there = file.stat()
    return [str(file.resolve()), there.st_size, there.st_mtime_ns, digest(file)]


def _made_of(work: Work, cache: Cache) -> Parts:
    """All that an encoded data set depends on, by name.

    Files count by their content and kind, not by where they are and what they are called. The first rows, converted and
    encoded, are part of it: so an edit is noticed of whatever the other parts do not know.
    """
    entry = work.source.entry
    reading = [work.format, entry.names, entry.sample_by, entry.boxes, work.max_samples, work.batch_size]
    return {
        **(work.encode.parts or {"encoding": work.encode.fingerprint}),
        **cache.formats.get(work.format, {}),
        "code of data": code_of([__name__.partition(".")[0]]),
        "options of data": _hashed(reading),
        "files": _hashed([[suffix_of(file), digest(file)] for file in work.files]),
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
    former: list[list[str]] = []
    for about in cache_dir.glob("*/about.json"):
        with contextlib.suppress(OSError, ValueError):
            parts = read_about(about.parent).get("parts", {})
            if parts.get("files") == made_of["files"]:
                former.append([other for other in differences(parts, made_of) if other != "first rows"])
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
