"""A reader of data sets: one JSON Lines file, in memory."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tunesmith import DataError, hookimpl, plugin
from tunesmith.types import DatasetSplits, Encoder, Fetch, Requirement, ToRows


@plugin
class Placeholder:
    """All lines of one file are trained on; nothing is held out."""

    train: str  # address of a JSON Lines file: a path, or SCHEME://…
    format: str = "text"  # name of the format that turns its records into rows

    @hookimpl
    def requires(self) -> list[Requirement]:
        return [Requirement("format", self.format, "data.format"), Requirement("hub", self.train, "data.train")]

    @hookimpl
    def build_dataset(self, fetch: Fetch, to_rows: ToRows, encode: Encoder) -> DatasetSplits:
        examples: list[dict[str, Any]] = []
        rows = to_rows(self.format, _records(fetch(self.train)), {})
        while some := list(islice(rows, 1000)):
            columns = encode(some)
            examples += [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        return DatasetSplits(train=examples)


def _records(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{file}, line {number} is not JSON: {error}") from error
