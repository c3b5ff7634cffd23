"""Streams of what was encoded before: examples are read from disk in their order, and nothing is encoded.

Each reader of a stream has blocks of examples of its own, so that it reads its part of the files alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunesmith import announce
from tunesmith.messages import logger
from tunesmith_library_formats import Tally

from .caching import Cache, in_cache
from .encoding import Work
from .lanes import Batch, Example, Item, Lane, Place, compact
from .seeking import Mark

if TYPE_CHECKING:
    import datasets

_BLOCKS = 4  # of each reader, at least, in a set that has as many examples


@dataclass(frozen=True, kw_only=True)
class EncodedWork(Work):
    """A data set that is encoded."""

    examples: datasets.Dataset


def found_encoded(works: Sequence[Work], cache: Cache) -> list[EncodedWork] | None:
    """The data sets as the cache has them in shards; None where it lacks one."""
    found = {work.source.name: in_cache(work, cache) for work in works}
    lacking = [name for name, encoded in found.items() if encoded is None]
    if lacking:
        if len(lacking) < len(found):
            logger.warning("data %s: not encoded in %s, so that all are encoded anew", ", ".join(lacking), cache.folder)
        return None
    for name, encoded in found.items():
        if encoded is not None:
            announce(f"data {name}", f"{len(encoded.examples):,} examples", f"encoded before, from {cache.folder}")
    return [
        EncodedWork(**vars(work), examples=encoded.examples)
        for work in works
        if (encoded := found[work.source.name]) is not None
    ]


class EncodedLane(Lane):
    """One encoded set behind the other, again and again; see `Lane`.

    Args:
        works: the sets.
        number, count: of whose blocks every `count`-th is read, from `number` on.
    """

    works: Sequence[EncodedWork]

    def batches(self, place: Place | None = None) -> Iterator[Batch]:
        """The blocks from a place on, without end. Raises: DataError when a whole pass has none."""
        place = place or Place()
        while True:
            empty = place == Place(place.lap)
            for number in range(place.work, len(self.works)):
                size, total = self._block(number), len(self.works[number].examples)
                first = place.index if number == place.work and place.index else self.number * size
                for start in range(first, total, self.count * size):
                    empty = False
                    items = [Item({}, index, 0, Mark(), "") for index in (start, min(start + size, total))]
                    yield Batch(Place(place.lap, number, start), items, Tally())
            if empty:
                raise self.nothing()
            place = Place(place.lap + 1)

    def _block(self, number: int) -> int:
        """How many examples follow one another: as many as are encoded together, but each reader has some blocks."""
        work = self.works[number]
        return max(1, min(work.batch_size, len(work.examples) // (_BLOCKS * self.count)))

    def encode(self, batch: Batch) -> list[Example]:
        """The examples of a block, with their lists of numbers as arrays of 32 bits."""
        work = self.works[batch.place.work]
        first, end = (item.index for item in batch.items)
        columns: dict[str, list[Any]] = work.examples[first:end]
        name = {"dataset": work.source.name} if self.named else {}
        return [
            {**name, **{column: compact(value) for column, value in zip(columns, values, strict=True)}}
            for values in zip(*columns.values(), strict=True)
        ]
