"""Encoding rows to Arrow files, in several processes where asked, once per data set and tokenizer."""

from __future__ import annotations

import collections
import hashlib
import itertools
import json
import multiprocessing
import os
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import DataError
from tunesmith.files import replacing
from tunesmith.messages import is_quiet
from tunesmith.types import Encoder, Row, ToRows

from .entries import Source
from .reading import read_records

if TYPE_CHECKING:
    import datasets
    import pyarrow

_MEDIA = ("images", "videos", "audios")
_PROBED = 16  # rows of each data set that its cache key is made of
_FEW_BATCHES = 4  # with fewer, no other process is started
_LAYOUT = 1  # of the cache; to be raised when the same key would mean other files


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
        entry = self.source.entry
        for file in self.files:
            try:
                records = read_records(file, entry.sample_by)
                for row in self.to_rows(self.format, records, {**entry.columns, **entry.tags}):
                    yield _with_media(row, file.parent)
            except DataError as error:
                place = "" if str(error).startswith(str(file)) else f"{file}: "
                raise DataError(f"{self.source.key}: {place}{error}") from error

    def table_of(self, rows: list[Row]) -> pyarrow.Table:
        """Rows encoded, as Arrow."""
        return _to_table(self.columns_of(rows))

    def columns_of(self, rows: list[Row]) -> dict[str, list[Any]]:
        """Rows encoded.

        Raises: DataError that names the entry, when the stage cannot use such rows.
        """
        try:
            return self.encode(rows)
        except DataError as error:
            raise DataError(f"{self.source.key} ({self.source.entry.path}, format {self.format}): {error}") from error

    def key(self) -> str:
        """What the encoded data set depends on, as the name of its place in the cache.

        The first rows, converted and encoded, are part of it: an edited format, stage or tokenizer is noticed.
        """
        entry = self.source.entry
        probe = list(itertools.islice(self.rows(), _PROBED))
        parts = {
            "layout": _LAYOUT,
            "encode": self.encode.fingerprint,
            "format": [self.format, entry.columns, entry.tags, entry.sample_by],
            "size": [self.max_samples, self.batch_size],
            "files": [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in self.files],
            "rows": [probe, self.table_of(probe).to_pydict() if probe else None],
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Encoded:
    """An encoded data set and what became of its records."""

    examples: datasets.Dataset
    records: int
    cached: bool  # whether it was there already


def encode_cached(work: Work, cache_dir: Path) -> Encoded:
    """Encode a data set unless the cache has it; other processes that want the same one wait for it."""
    from filelock import FileLock

    folder = cache_dir / work.key()
    cache_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        cached = (folder / "about.json").is_file()
        if not cached:
            with replacing(folder) as draft:
                _write(work, draft)
    return _read(folder, cached=cached, in_memory=False)


def encode_in_memory(work: Work) -> Encoded:
    """Encode a data set and keep nothing on disk."""
    with tempfile.TemporaryDirectory() as folder:
        _write(work, Path(folder) / "encoded")
        return _read(Path(folder) / "encoded", cached=False, in_memory=True)


def _read(folder: Path, *, cached: bool, in_memory: bool) -> Encoded:
    import datasets

    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    examples = datasets.Dataset.from_file(str(folder / "data.arrow"), in_memory=in_memory)
    return Encoded(examples, about["records"], cached)


def _write(work: Work, folder: Path) -> None:
    """Write `data.arrow`, a stream of the examples, and `about.json`, what it was made of."""
    folder.mkdir()
    records = 0

    def batches() -> Iterator[list[Row]]:
        nonlocal records
        rows = work.rows()
        while batch := list(itertools.islice(rows, work.batch_size)):
            records += len(batch)
            yield batch

    examples = _write_stream(_shown(_encoded(batches(), work), work.source.name), folder / "data.arrow")
    if not examples:
        reason = "it has no records" if not records else f"the stage made no example of its {records} records"
        raise DataError(f"{work.source.key}: {work.source.entry.path} has nothing to train on: {reason}")
    about = {"path": work.source.entry.path, "format": work.format, "records": records, "examples": examples}
    (folder / "about.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


def _write_stream(batches: Iterable[pyarrow.Table], path: Path) -> int:
    """Write tables one after the other. Returns: how many rows they have."""
    import pyarrow

    batches = iter(batches)
    first = next((table for table in batches if table.num_rows), None)
    if first is None:
        return 0
    count = 0
    with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_stream(sink, first.schema) as writer:
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


def _encoded(batches: Iterator[list[Row]], work: Work) -> Iterator[pyarrow.Table]:
    """Encode batches in order; with several processes a few batches ahead of the one that is asked for."""
    first = list(itertools.islice(batches, _FEW_BATCHES))
    batches = itertools.chain(first, batches)
    if work.num_proc == 1 or len(first) < _FEW_BATCHES:
        for batch in batches:
            yield work.table_of(batch)
        return
    # Forked workers inherit the encoder: tokenizers and templates need not be picklable.
    context = multiprocessing.get_context("fork")
    waiting: collections.deque[Future[pyarrow.Table]] = collections.deque()
    with ProcessPoolExecutor(work.num_proc, context, _start_worker, (work,)) as pool:
        try:
            for batch in batches:
                waiting.append(pool.submit(_encode_in_worker, batch))
                if len(waiting) > 2 * work.num_proc:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_inherited: Work | None = None  # in a worker process


def _start_worker(work: Work) -> None:
    global _inherited
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # threads of the parent do not survive the fork
    _inherited = work


def _encode_in_worker(rows: list[Row]) -> pyarrow.Table:
    assert _inherited is not None
    return _inherited.table_of(rows)


def _to_table(columns: dict[str, list[Any]]) -> pyarrow.Table:
    """Columns as Arrow, token ids in 32 bits."""
    import pyarrow

    wide, narrow = pyarrow.list_(pyarrow.int64()), pyarrow.list_(pyarrow.int32())
    arrays = {name: pyarrow.array(values) for name, values in columns.items()}
    return pyarrow.table({name: array.cast(narrow) if array.type == wide else array for name, array in arrays.items()})


def _with_media(row: Row, folder: Path) -> Row:
    """The row with its media files found beside the data file where they are there."""
    found = {name: [_beside(item, folder) for item in row[name]] for name in _MEDIA if name in row}
    return row | found if found else row


def _beside(item: Any, folder: Path) -> Any:
    return str(folder / item) if isinstance(item, str) and (folder / item).is_file() else item
