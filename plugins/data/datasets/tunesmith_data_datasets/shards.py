"""Encoding a data set in shards, each by itself and wherever there is a processor, and putting them together.

Shards are cut between the batches that encoding the whole set would have, so that its examples are the same. What an
encoding that was interrupted has finished is there when it is begun again.
"""

from __future__ import annotations

import datetime
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import DataError, announce
from tunesmith.files import replacing
from tunesmith.types import Row
from tunesmith_library_caching import (
    DATA,
    UNFINISHED,
    About,
    Hold,
    differences,
    opened,
    read_about,
    write_about,
    write_manifest,
)
from tunesmith_library_formats import Tally

from .caching import Cache, encode_cached, stamp
from .encoding import Work, encode_some, nothing, write_stream
from .lanes import Place
from .media import Watch
from .reading import rows_of_table
from .seeking import Cursor, Mark, cursor
from .summing import sum_up

_MOST_BATCHES = 10  # in a shard
_FEWEST_SHARDS = 16  # of a set that is large enough

Task = Mapping[str, Any]
"""A shard to encode, as JSON has it."""

Spread = Callable[[Sequence[Task]], Iterator[Mapping[str, Any]]]
"""Has tasks done by `encode_shard`, wherever; gives each one's answer as it comes."""


@dataclass(frozen=True)
class Shard:
    """Records of a data set that follow one another."""

    number: int
    place: Place  # of the first
    records: int


@dataclass(frozen=True, kw_only=True)
class ShardWork(Work):
    """One shard to encode."""

    shard: Shard

    def rows(self) -> Iterator[Row]:
        """The canonical rows of the shard."""
        left = self.shard.records
        for number in range(self.shard.place.file, len(self.files)):
            file = self.files[number]
            mark = self.shard.place.mark if number == self.shard.place.file else None
            with self.naming(file):
                records = _First(cursor(file, self.source.entry.sample_by, mark), left)
            yield from self.rows_of(file, records)
            left -= records.read
            if not left:
                return


class _First(Iterator[dict[str, Any]]):
    """The first records of a file that are left to read."""

    def __init__(self, records: Cursor, most: int) -> None:
        self._records, self._most, self.read = records, most, 0

    @property
    def place(self) -> str:
        return self._records.place

    def __next__(self) -> dict[str, Any]:
        if self.read == self._most:
            raise StopIteration
        record = next(self._records)
        self.read += 1
        return record


# ---- where the encoding is asked for ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sharding:
    """The data sets of a run, to be encoded in shards."""

    works: Sequence[Work]
    cache: Cache
    split_by: str | None

    def encode(self, spread: Spread) -> list[Path]:
        """Encode what the cache does not have. Gives the folders of all sets.

        Raises: DataError, as of encoding them here.
        """
        if self.split_by:
            message = f"data.split_by={self.split_by} divides records by what they hold, and shards are cut by place"
            raise DataError(f"{message}\n  leave it out; a file that is held out: data.eval=[held_out.jsonl]")
        self.cache.make = lambda work, folder, about: _made_in_shards(work, folder, about, spread)
        for work in self.works:
            sum_up(work.source.name, work.format, encode_cached(work, self.cache), {})
        return self.cache.kept

    def encode_shard(self, task: Task) -> Mapping[str, Any]:
        """Encode one shard, where it was sent; see `encode_shard`."""
        return encode_shard(self.works, task)


def _made_in_shards(work: Work, folder: Path, about: About, spread: Spread) -> About:
    """Have the missing shards of a data set encoded, and put them in its place when all are there."""
    draft = folder.with_suffix(UNFINISHED)
    draft.mkdir(parents=True, exist_ok=True)
    hold = Hold(draft)
    shards = divided(work)
    names = [f"{shard.number:05}" for shard in shards]
    there = {name: found for name in names if (found := opened(draft / name)[0]) and _is_of(found, shards[int(name)])}
    if there:
        announce(f"data {work.source.name}", f"{len(there)} of {len(shards)} shards", "encoded before, and whole")
    missing = [shard for name, shard in zip(names, shards, strict=True) if name not in there]
    for answer in spread([_task(work, shard, draft) for shard in missing]):
        if "fault" in answer:
            raise DataError(answer["fault"])
        there[answer["name"]] = answer
    tally, parts = Tally(), [there[name] for name in names]
    for part in parts:
        tally.merge(Tally.from_json(part["tally"]))
    sums = {name: sum(part[name] for part in parts) for name in ("records", "examples", "size")}
    if not sums["examples"]:
        raise nothing(work, sums["records"], tally)
    made: dict[str, Any] = {"name": work.source.name, "path": work.source.entry.path, "format": work.format, **sums}
    made |= {"tally": tally.to_json(), "files": [stamp(file) for file in work.files]}
    made |= {"media": Watch.together([part["media"] for part in parts])}
    made |= {"made": datetime.datetime.now().astimezone().isoformat(timespec="seconds"), **about}
    write_manifest(draft, made, names)
    hold.release()
    shutil.rmtree(folder, ignore_errors=True)  # a damaged one
    os.replace(draft, folder)
    return read_about(folder)


def divided(work: Work) -> list[Shard]:
    """The shards of a data set: batches that follow one another, as many in each.

    Raises: DataError that names the entry and the file.
    """
    starts, records = _starts(work)
    if work.max_samples is not None:
        records = min(records, work.max_samples)
        starts = starts[: -(-records // work.batch_size)]
    if len(starts) > 1 and records % work.batch_size == 1 < work.batch_size:
        starts.pop()  # a last record by itself joins those before it, see `batches_of`
    step = max(1, min(_MOST_BATCHES, len(starts) // _FEWEST_SHARDS))
    firsts = range(0, len(starts), step)
    ends = [first * work.batch_size for first in firsts[1:]] + [records]
    return [
        Shard(number, starts[first], end - first * work.batch_size)
        for number, (first, end) in enumerate(zip(firsts, ends, strict=True))
    ]


def _starts(work: Work) -> tuple[list[Place], int]:
    """Where the batches begin, and how many records there are, at least `max_samples` if there are so many."""
    starts: list[Place] = []
    index = 0
    for number, file in enumerate(work.files):
        with work.naming(file):
            rows = rows_of_table(file)
            if rows is not None:
                firsts = range(-index % work.batch_size, rows, work.batch_size)
                starts += [Place(index=index + first, file=number, mark=Mark(first)) for first in firsts]
                index += rows
                continue
            records = cursor(file, work.source.entry.sample_by)
            while index != work.max_samples:
                if index % work.batch_size:
                    if not records.skip():
                        break
                elif next(records, None) is None:
                    break
                else:
                    starts.append(Place(index=index, file=number, mark=records.mark()))
                index += 1
    return starts, index


def _is_of(about: About, shard: Shard) -> bool:
    return (about.get("place"), about.get("asked")) == (shard.place.to_json(), shard.records)


def _task(work: Work, shard: Shard, draft: Path) -> Task:
    told = {"key": work.source.key, "number": shard.number, "place": shard.place.to_json(), "records": shard.records}
    return {**told, "folder": str(draft.absolute()), "parts": dict(work.encode.parts)}


# ---- where a shard is encoded ----------------------------------------------------------------------------------------


def encode_shard(works: Sequence[Work], task: Task) -> Mapping[str, Any]:
    """Encode a shard of one of the data sets into a folder of its own. Gives what that says of itself, and its name.

    Raises: DataError, also where this machine would encode otherwise than the one that asks.
    """
    (whole,) = (work for work in works if work.source.key == task["key"])
    other = differences(task["parts"], whole.encode.parts)
    if other:
        message = f"{platform.node()} would encode the data otherwise than the machine that asks: {', '.join(other)}"
        raise DataError(f"{message}\n  install there what is here: pip freeze")
    folder = Path(task["folder"])
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder} here\n  name one that all machines share: --output FOLDER")
    shard = Shard(task["number"], Place.from_json(task["place"]), task["records"])
    work = ShardWork(**{**vars(whole), "num_proc": 1, "max_samples": None}, shard=shard)
    return {"name": f"{shard.number:05}", **_written(work, folder / f"{shard.number:05}")}


def _written(work: ShardWork, folder: Path) -> About:
    import pyarrow

    watch = Watch()
    with replacing(folder) as draft:
        draft.mkdir()
        with pyarrow.OSFile(str(draft / DATA), "wb") as sink:
            records, examples, tally = encode_some(work, lambda tables: write_stream(watch.passed(tables), sink))
        made: dict[str, Any] = {"records": records, "examples": examples, "tally": tally.to_json()}
        made |= {"size": (draft / DATA).stat().st_size, "media": watch.seen(work.media_places)}
        made |= {"place": work.shard.place.to_json(), "asked": work.shard.records}
        write_about(draft, made)
    return made
