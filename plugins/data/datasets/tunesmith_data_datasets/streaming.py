"""Training data that is read and encoded while it is trained on, again and again, with little of it in memory.

Nothing is written to a cache. The order depends on the seed alone, so that a resumed run that reads on to where it was
gets the examples that it would have got.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info
from tunesmith import DataError, announce
from tunesmith.messages import logger
from tunesmith_library_formats import Tally, tallying

from .encoding import Work, batches_of
from .summing import say_counts

Example = dict[str, Any]


class Stream(IterableDataset[Example]):
    """Encoded examples without end.

    Args:
        works: the data sets.
        weights: by which the next example's set is drawn, each set beginning again when it is used up; None reads one
            set behind the other.
        buffer_size: examples that are held back, of which the next one is drawn.
        seed: of both draws.
    """

    def __init__(self, works: Sequence[Work], weights: Sequence[float] | None, buffer_size: int, seed: int) -> None:
        self.works, self.weights, self.buffer_size, self.seed = works, weights, buffer_size, seed

    def __iter__(self) -> Iterator[Example]:
        """The examples of this data loader's worker; each of several workers encodes its share of the rows."""
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        random = np.random.default_rng([self.seed, number])
        several = len({work.source.name for work in self.works}) > 1
        sets = [functools.partial(examples, work, number, workers, several, Heard()) for work in self.works]
        if self.weights is None:
            mixed = repeated(lambda: itertools.chain.from_iterable(make() for make in sets), self._nothing)
        else:
            endless = [repeated(make, self._nothing) for make in sets]
            mixed = drawn(endless, self.weights, random)
        return shuffled(mixed, self.buffer_size, random)

    def _nothing(self) -> DataError:
        names = ", ".join(work.source.entry.path for work in self.works)
        return DataError(f"{names}: the stage made no example of a whole pass")


@dataclass
class Heard:
    """What was said of a data set, which is read again and again."""

    shares: set[str] = field(default_factory=set)
    begun: bool = False  # the first rows were
    whole: bool = False  # a whole pass was summed up


def examples(
    work: Work, number: int = 0, workers: int = 1, named: bool = False, heard: Heard | None = None
) -> Iterator[Example]:
    """One pass over a data set, of whose rows every `workers`-th is encoded, from `number` on.

    Args:
        named: give each example the data set's name as `dataset`, as several training sets have it.
        heard: what the user was told before of rows that are not trained on as they stand.

    Returns: examples with their lists of numbers as arrays of 32 bits.
    Raises: DataError that names the entry.
    """
    batches = batches_of(itertools.islice(work.rows(), number, None, workers), work.batch_size)
    heard, whole, records = heard or Heard(), Tally(), 0
    while True:
        with tallying() as tally:  # never across a yield: others count meanwhile
            batch = next(batches, None)
            columns = work.columns_of(batch) if batch else {}
        if batch is None:
            break
        records += len(batch)
        whole.merge(tally)
        if not heard.begun:
            heard.begun = True
            _say_sizes(work, whole, records, "the first ones")
        for share in whole.shares.values():
            if share.what not in heard.shares:  # at once, for a stream may have no end
                heard.shares.add(share.what)
                logger.warning("data %s: of the first rows, %s", work.source.name, share.of(records))
        name_of_set = {"dataset": work.source.name} if named else {}
        for values in zip(*columns.values(), strict=True):
            yield {**name_of_set, **{name: _compact(value) for name, value in zip(columns, values, strict=True)}}
    if not heard.whole:
        heard.whole = True
        _say_sizes(work, whole, records, "of a whole pass")
        say_counts(work.source.name, records, whole, "of a whole pass, ")


def _say_sizes(work: Work, tally: Tally, records: int, which: str) -> None:
    if tally.sizes.longest:
        announce(f"data {work.source.name}", f"{records:,} records", f"{which}; {tally.sizes.of(records)}")


def repeated(make: Callable[[], Iterator[Example]], nothing: Callable[[], Exception]) -> Iterator[Example]:
    """Pass after pass without end. Raises: what `nothing` gives, when a pass has no example."""
    while True:
        empty = True
        for example in make():
            empty = False
            yield example
        if empty:
            raise nothing()


def drawn(
    sets: Sequence[Iterator[Example]], weights: Sequence[float], random: np.random.Generator
) -> Iterator[Example]:
    """The next example of a set that is drawn by weight."""
    shares = np.asarray(weights) / sum(weights)
    while True:
        yield next(sets[random.choice(len(sets), p=shares)])


def shuffled(stream: Iterator[Example], buffer_size: int, random: np.random.Generator) -> Iterator[Example]:
    """Keep `buffer_size` examples back, give one of them at random, and put the next one in its place."""
    buffer = list(itertools.islice(stream, buffer_size))
    for example in stream:
        place = int(random.integers(len(buffer)))
        yield buffer[place]
        buffer[place] = example


def _compact(value: Any) -> Any:
    """Lists of numbers as arrays: a list of Python's own takes ten times the room."""
    if not isinstance(value, list) or not value or not isinstance(value[0], int | float):
        return value
    return np.asarray(value, np.int32 if isinstance(value[0], int) else np.float32)
