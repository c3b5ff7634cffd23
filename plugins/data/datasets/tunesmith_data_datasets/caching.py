"""Encoded data sets on disk: found by what they were made of, checked when they are opened, made anew when damaged."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.files import replacing
from tunesmith.messages import logger
from tunesmith_library_configuration.files import digest
from tunesmith_library_configuration.space import shortage
from tunesmith_library_formats import Tally

from .encoding import Work, encode, write_stream

if TYPE_CHECKING:
    import datasets

_DATA, _ABOUT = "data.arrow", "about.json"
_DRAFT = re.compile(r"\.([0-9a-f]{32})-")  # of `replacing`


@dataclass(frozen=True)
class Encoded:
    """An encoded data set and what became of its records."""

    examples: datasets.Dataset
    records: int
    tally: Tally  # of what became of them
    cached: bool  # whether it was there already


def encode_cached(work: Work, cache_dir: Path) -> Encoded:
    """Encode a data set unless the cache has it whole; in memory where the cache cannot be written."""
    try:
        return _encode_cached(work, cache_dir)
    except OSError as error:
        reason = shortage(error, cache_dir)
        logger.warning(
            "data %s is encoded for this run only: %s cannot be written: %s", work.source.name, cache_dir, reason
        )
        return encode_in_memory(work)


def _encode_cached(work: Work, cache_dir: Path) -> Encoded:
    """Encode a data set unless the cache has it whole; other processes that want the same one wait for it."""
    import datasets
    from filelock import FileLock

    folder = cache_dir / work.key()
    cache_dir.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(cache_dir)
    about, damage = _opened(folder)
    cached = about is not None
    if about is None:
        with FileLock(f"{folder}.lock"):
            about, damage = _opened(folder)  # meanwhile another process may have made it
            cached = about is not None
            if about is None:
                about = _made(work, folder, damage)
    examples = datasets.Dataset.from_file(str(folder / _DATA))
    return Encoded(examples, int(about["records"]), Tally.from_json(about["tally"]), cached)


def encode_in_memory(work: Work) -> Encoded:
    """Encode a data set and keep nothing on disk."""
    import datasets
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    records, tally = encode(work, lambda tables: write_stream(tables, sink))
    return Encoded(datasets.Dataset.from_buffer(sink.getvalue()), records, tally, cached=False)


def _made(work: Work, folder: Path, damage: str | None) -> Mapping[str, Any]:
    """Write `data.arrow`, a stream of the examples, and `about.json`, what it was made of. Gives the latter."""
    import pyarrow

    if damage:
        logger.warning("%s: the encoded data in %s is damaged (%s) and is made anew", work.source.key, folder, damage)
        if folder.is_file():
            folder.unlink()
    with replacing(folder) as draft:
        draft.mkdir()
        with pyarrow.OSFile(str(draft / _DATA), "wb") as sink:
            records, tally = encode(work, lambda tables: write_stream(tables, sink))
        about: dict[str, Any] = {"path": work.source.entry.path, "format": work.format, "records": records}
        about["tally"] = tally.to_json()
        about["digest"] = digest(draft / _DATA)
        (draft / _ABOUT).write_text(json.dumps({**about, "seal": _seal(about)}, indent=1), encoding="utf-8")
    return about


def _opened(folder: Path) -> tuple[Mapping[str, Any] | None, str | None]:
    """What a folder of the cache holds, as `about.json` has it, when it is whole; else what is wrong, if it is there.

    Every byte is read: numbers that have changed on the disk would be trained.
    """
    if not folder.exists():
        return None, None
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        found = digest(folder / _DATA)
    except (OSError, ValueError) as error:
        return None, str(error) or type(error).__name__
    if not isinstance(about, dict) or about.pop("seal", None) != _seal(about):
        return None, f"{_ABOUT} is not as it was written"
    if found != about["digest"]:
        return None, f"{_DATA} is not as it was written"
    return about, None


def _seal(about: Mapping[str, Any]) -> str:
    """The digest of what `about.json` says."""
    return hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=16).hexdigest()


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
