"""Encoding rows to Arrow tables, in several processes where asked."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tunesmith import DataError
from tunesmith.messages import is_quiet
from tunesmith.types import Encoder, Row, ToRows
from tunesmith_library_chat.spelling import NOTHING, first_spelt
from tunesmith_library_configuration.bound import end_with_parent
from tunesmith_library_formats import Tally, count, tallying

from .entries import Source
from .media import with_media
from .reading import read_records
from .tables import to_table
from .unusable import PlacedRow, unusable

if TYPE_CHECKING:
    import pyarrow

_MOST_PROCESSES = 8
_FEW_BATCHES = 4  # with fewer, no other process is started


class Placed(Protocol):
    """Records, and where the last one is that was asked for: `line 7`."""

    @property
    def place(self) -> str: ...
    def __iter__(self) -> Iterator[dict[str, Any]]: ...


@dataclass(frozen=True)
class Work:
    """One data set to encode."""

    source: Source
    files: list[Path]
    format: str
    max_samples: int | None
    to_rows: ToRows
    encode: Encoder
    batch_size: int  # rows per call of encode
    num_proc: int

    def rows(self) -> Iterator[Row]:
        """The canonical rows.

        Raises: DataError that names the entry and the file.
        """
        return itertools.islice(self._all_rows(), self.max_samples)

    def _all_rows(self) -> Iterator[Row]:
        for file in self.files:
            yield from self.rows_of(file, read_records(file, self.source.entry.sample_by))

    def rows_of(self, file: Path, records: Placed) -> Iterator[Row]:
        """The canonical rows of records of a file, which are asked for one by one.

        Raises: DataError that names the entry and the file.
        """
        entry, folders = self.source.entry, self.media_folders(file)
        with self.naming(file):
            for row in self.to_rows(self.format, records, entry.names):
                row = row if entry.boxes == "written" else {**row, "boxes": entry.boxes}
                found = PlacedRow(with_media(row, folders, records.place, entry.path))
                found.file, found.place = file, records.place
                yield found

    def media_folders(self, file: Path) -> list[Path]:
        """Where the media are looked for that the records of a file name.

        Raises: DataError where the entry names a folder that is not there.
        """
        own = self.source.entry.media_dir
        if own is None:
            return [file.parent]
        if not Path(own).expanduser().is_dir():
            raise DataError(f"{self.source.key}.media_dir={own}: there is no such folder (looked from {Path.cwd()})")
        return [Path(own).expanduser(), file.parent]

    @property
    def media_places(self) -> list[Path]:
        """Those of all files."""
        return [folder for file in self.files for folder in self.media_folders(file)]

    @contextlib.contextmanager
    def naming(self, file: Path) -> Iterator[None]:
        """Have errors of its records name the entry and the file."""
        try:
            yield
        except DataError as error:
            place = "" if str(error).startswith(str(file)) else f"{file}: "
            raise DataError(f"{self.source.key}: {place}{error}") from error

    def table_of(self, rows: list[Row]) -> pyarrow.Table:
        """Rows encoded, as Arrow."""
        return to_table(self.columns_of(rows))

    def columns_of(self, rows: list[Row]) -> dict[str, list[Any]]:
        """Rows encoded.

        Raises: DataError that names the entry and the row, when the stage cannot use it.
        """
        self._count_spelt(rows)
        try:
            return self.encode(rows)
        except (DataError, RecursionError) as error:
            raise unusable(self.source, self.format, self.encode, rows, error) from error

    def _count_spelt(self, rows: list[Row]) -> None:
        """Count rows that spell control tokens, which are read as text."""
        control = getattr(self.encode.template, "control", NOTHING)
        found = [token for row in rows if (token := first_spelt(row, control))]
        if found:
            count(
                "spell control tokens, which are read as text (data.special_tokens=parse reads them as tokens)",
                len(found),
                first=found[0],
            )


def encode(work: Work, write: Callable[[Iterator[pyarrow.Table]], int]) -> tuple[int, Tally]:
    """Encode a data set and hand the tables to `write`, which gives how many examples they have.

    Returns: how many records were read, and what became of those that are not trained on as they stand.
    Raises: DataError when there is nothing to train on.
    """
    records, examples, tally = encode_some(work, write)
    if not examples:
        raise nothing(work, records, tally)
    return records, tally


def encode_some(work: Work, write: Callable[[Iterator[pyarrow.Table]], int]) -> tuple[int, int, Tally]:
    """As `encode`, where there may be no example. Returns also how many there are."""
    records = 0
    labels, kept = Counter[bool](), Counter[bool]()

    def counted() -> Iterator[list[Row]]:
        nonlocal records
        for batch in batches_of(work.rows(), work.batch_size):
            records += len(batch)
            labels.update(row["label"] for row in batch if isinstance(row.get("label"), bool))
            yield batch

    def encoded(tally: Tally) -> Iterator[pyarrow.Table]:
        for table in _encoded(counted(), work, tally):
            labelled = table["label"].to_pylist() if "label" in table.column_names else ()
            kept.update(label for label in labelled if isinstance(label, bool))
            yield table

    with tallying() as tally:
        examples = write(_shown(encoded(tally), work.source.name))
        if records > 1:
            _count_kinds(labels, kept)
    return records, examples, tally


def _count_kinds(labels: Counter[bool], kept: Counter[bool]) -> None:
    """Count answers that are all desirable, or all undesirable.

    Args:
        labels: how many records have which label.
        kept: how many examples have; none where the stage does not keep labels.
    """
    left = kept or labels
    if len(left) == 1:
        kind, other = ("desirable", "undesirable") if True in left else ("undesirable", "desirable")
        none = f"none {other}" if len(labels) == 1 else f"none that is left {other}"
        count(f"are marked {kind} and {none}, so that there is nothing to tell apart", left.total())


def nothing(work: Work, records: int, tally: Tally) -> DataError:
    """The error of a data set without an example."""
    shares = [share.of(records) for share in tally.shares.values()]
    advice = [share.advice for share in tally.shares.values() if share.advice]
    unknown = f"the stage made no example of its {records} records"
    reason = "it has no records" if not records else "; ".join(shares) or unknown
    said = f"{work.source.key}: {work.source.entry.path} has nothing to train on: {reason}"
    return DataError("\n  ".join([said, *advice]))


def processes(asked: int | None) -> int:
    """How many processes encode: one where they cannot be forked; where nobody asks one per core, at most 8."""
    if "fork" not in multiprocessing.get_all_start_methods():
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return asked or min(cores, _MOST_PROCESSES)


def batches_of(rows: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """Rows, `size` at a time; a last one by itself joins those before it, for stages compare rows with each other."""
    batch = list(itertools.islice(rows, size))
    while batch:
        following = list(itertools.islice(rows, size))
        if len(following) == 1 < size:
            batch, following = batch + following, []
        yield batch
        batch = following


def write_stream(batches: Iterator[pyarrow.Table], sink: Any) -> int:
    """Write tables one after the other to a file or buffer of Arrow's. Returns: how many rows they have."""
    import pyarrow

    first = next((table for table in batches if table.num_rows), None)
    if first is None:
        return 0
    count = 0
    with pyarrow.ipc.new_stream(sink, first.schema) as writer:
        for table in itertools.chain([first], batches):
            if table.num_rows:
                writer.write_table(table.select(first.column_names).cast(first.schema))
                count += table.num_rows
    return count


def _shown(tables: Iterator[pyarrow.Table], name: str) -> Iterator[pyarrow.Table]:
    """Pass tables on and show on a terminal how many examples they had so far."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.completed:,} examples"),
        TimeElapsedColumn(),
    )
    shown = Progress(  # without the thread that would refresh it: workers are forked meanwhile
        *columns, console=console, transient=True, auto_refresh=False, disable=is_quiet() or not console.is_terminal
    )
    with shown as progress:
        task = progress.add_task(f"encoding {name}", total=None)
        for table in tables:
            yield table
            progress.update(task, advance=table.num_rows, refresh=True)


def _encoded(batches: Iterator[list[Row]], work: Work, tally: Tally) -> Iterator[pyarrow.Table]:
    """Encode batches in order; with several processes a few batches ahead of the one that is asked for.

    What the processes count is added to `tally`, which is that of this one.
    """
    first = list(itertools.islice(batches, _FEW_BATCHES))
    batches = itertools.chain(first, batches)
    if work.num_proc == 1 or len(first) < _FEW_BATCHES:
        for batch in batches:
            yield work.table_of(batch)
        return
    # Forked workers inherit the encoder: tokenizers and templates need not be picklable.
    context = multiprocessing.get_context("fork")
    waiting: deque[Future[tuple[pyarrow.Table, Tally]]] = deque()

    def next_table() -> pyarrow.Table:
        table, counted = waiting.popleft().result()
        tally.merge(counted)
        return table

    with ProcessPoolExecutor(work.num_proc, context, _start_worker, (work, os.getpid())) as pool:
        try:
            for batch in batches:
                waiting.append(pool.submit(_encode_in_worker, batch))
                if len(waiting) > 2 * work.num_proc:
                    yield next_table()
            while waiting:
                yield next_table()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_inherited: Work | None = None  # in a worker process


def _start_worker(work: Work, parent: int) -> None:
    global _inherited
    end_with_parent(parent)  # a killed one closes no queue
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # threads of the parent do not survive the fork
    _inherited = work


def _encode_in_worker(rows: list[Row]) -> tuple[pyarrow.Table, Tally]:
    """The table of rows, and what was counted on the way."""
    assert _inherited is not None
    with tallying() as tally:
        table = _inherited.table_of(rows)
    return table, tally
