"""Sets that are read again and again, a batch of records at a time, each batch with the place where it begins.

From such a place reading goes on without what is before it: what a resumed stream does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
from tunesmith import DataError
from tunesmith.messages import logger
from tunesmith.types import Row
from tunesmith_library_formats import Tally, tallying

from .encoding import Work, batches_of
from .seeking import Mark, cursor
from .summing import say_counts, say_sizes

Example = dict[str, Any]
Done = TypeVar("Done")


@dataclass(frozen=True)
class Place:
    """Where a batch begins."""

    lap: int = 0  # passes over all sets before it
    work: int = 0  # which set
    index: int = 0  # records of the set before it, in this pass
    file: int = 0  # which of the set's files
    mark: Mark = field(default_factory=Mark)

    def to_json(self) -> list[Any]:
        return [self.lap, self.work, self.index, self.file, *astuple(self.mark)]

    @classmethod
    def from_json(cls, value: Sequence[Any]) -> Place:
        lap, work, index, file, *mark = value
        return cls(lap, work, index, file, Mark(*mark))


@dataclass(frozen=True)
class Item:
    """A record, and where it is from."""

    record: dict[str, Any]
    index: int  # records of the set before it
    file: int
    mark: Mark
    words: str  # line 7


@dataclass(frozen=True)
class Batch:
    """Records of a set that are encoded together."""

    place: Place
    items: Sequence[Item]
    tally: Tally  # of what was counted while they were read


class Lane:
    """One set behind the other, again and again.

    Args:
        works: the sets.
        number, count: of whose records every `count`-th is read, from `number` on.
        named: give each example its set's name as `dataset`, as several training sets have it.
    """

    def __init__(self, works: Sequence[Work], number: int = 0, count: int = 1, named: bool = False) -> None:
        self.works, self.number, self.count, self.named = works, number, count, named
        reader = f", reader {number + 1} of {count}" if count > 1 else ""
        self._reports = [Report(work.source.name, reader) for work in works]

    def batches(self, place: Place | None = None) -> Iterator[Batch]:
        """The batches from a place on, without end.

        Raises: DataError that names the entry, while they are read; when a whole pass has none.
        """
        place = place or Place()
        while True:
            empty = place == Place(place.lap)
            for number in range(place.work, len(self.works)):
                start = place if number == place.work else Place()
                for batch in self._pass_over(number, start, place.lap):
                    empty = False
                    yield batch
                self._reports[number].end()
            if empty:
                raise self.nothing()
            place = Place(place.lap + 1)

    def _pass_over(self, number: int, start: Place, lap: int) -> Iterator[Batch]:
        """The batches of a set, from a place in it on."""
        if not start.index:
            self._reports[number].begin()
        groups = batches_of(self._items(self.works[number], start), self.works[number].batch_size)
        while True:
            with tallying() as tally:  # never across a yield: others count meanwhile
                items = next(groups, None)
            if not items:
                return
            yield Batch(Place(lap, number, items[0].index, items[0].file, items[0].mark), items, tally)

    def _items(self, work: Work, start: Place) -> Iterator[Item]:
        """This lane's records of one pass over a set."""
        index, most = start.index, work.max_samples
        for number in range(start.file, len(work.files)):
            if index == most:
                return
            mark = start.mark if number == start.file else None
            opened = partial(cursor, work.files[number], work.source.entry.sample_by, mark)
            records = _done(work, number, opened)
            while index != most:
                if index % self.count != self.number:
                    if not _done(work, number, records.skip):
                        break
                else:
                    record = _done(work, number, partial(next, records, None))
                    if record is None:
                        break
                    yield Item(record, index, number, records.mark(), records.place)
                index += 1

    def encode(self, batch: Batch) -> list[Example]:
        """The examples of a batch, with their lists of numbers as arrays of 32 bits. Raises: DataError."""
        work = self.works[batch.place.work]
        with tallying() as tally:
            rows: list[Row] = []
            for number, items in itertools.groupby(batch.items, key=lambda item: item.file):
                rows += work.rows_of(work.files[number], Given(items))
            columns = work.columns_of(rows) if rows else {}
        tally.merge(batch.tally)
        self._reports[batch.place.work].add(tally, len(batch.items))
        name = {"dataset": work.source.name} if self.named else {}
        return [
            {**name, **{column: compact(value) for column, value in zip(columns, values, strict=True)}}
            for values in zip(*columns.values(), strict=True)
        ]

    def nothing(self) -> DataError:
        """The error of a pass without an example."""
        names = ", ".join(work.source.entry.path for work in self.works)
        said = f"{names}: the stage made no example of a whole pass"
        if self.count > 1:
            said += f" over every {self.count}th record, from record {self.number + 1} on\n"
            said += "  a set that is so small is read by fewer: trainer.dataloader_num_workers=0"
        return DataError(said)


class Given(Iterator[dict[str, Any]]):
    """Records that were read before, each with its place."""

    place = ""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items

    def __next__(self) -> dict[str, Any]:
        item = next(self._items)
        self.place = item.words
        return item.record


class Report:
    """What is told of a set that is read again and again: what is the matter with its records, at once and once.

    Args:
        name: of the set.
        reader: says of which of several readers' records these are.
    """

    def __init__(self, name: str, reader: str) -> None:
        self._name, self._reader = name, reader
        self._told: set[str] = set()
        self._tally, self._records = Tally(), 0
        self._whole = False  # whether this pass was read from its beginning
        self._begun = self._summed_up = False

    def begin(self) -> None:
        """A pass begins."""
        self._tally, self._records, self._whole = Tally(), 0, True

    def add(self, tally: Tally, records: int) -> None:
        """Tell what is new of some records; a stream may have no end."""
        self._records += records
        self._tally.merge(tally)
        if not self._begun:
            self._begun = True
            say_sizes(self._name, self._records, self._tally, f"the first ones{self._reader}")
        for share in self._tally.shares.values():
            if share.what not in self._told:
                self._told.add(share.what)
                logger.warning("data %s: of the first rows%s, %s", self._name, self._reader, share.of(self._records))

    def end(self) -> None:
        """Sum the first whole pass up."""
        if self._whole and not self._summed_up:
            self._summed_up = True
            say_sizes(self._name, self._records, self._tally, f"of a whole pass{self._reader}")
            say_counts(self._name, self._records, self._tally, f"of a whole pass{self._reader}, ")


def _done(work: Work, number: int, act: Callable[[], Done]) -> Done:
    """What is done with a file, whose errors name the entry. No generator waits within a `try`, for one that is left
    when Python ends is told of things that are no more."""
    try:
        return act()
    except DataError:
        with work.naming(work.files[number]):
            raise


def compact(value: Any) -> Any:
    """Lists of numbers as arrays: a list of Python's own takes ten times the room."""
    if not isinstance(value, list) or not value or not isinstance(value[0], int | float):
        return value
    return np.asarray(value, np.int32 if isinstance(value[0], int) else np.float32)
