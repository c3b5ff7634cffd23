"""Data that cannot be read any more in the middle of a run: the steps before it are kept, and the run can go on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith.errors import Interrupted

from tunesmith_library_training import checkpoints


class BadData(Interrupted):
    """A run ended because its data cannot be read on; it can go on from its last checkpoint once they are mended.

    Unchanged it would end there again, so that its exit code is not that of runs to be continued as they are.
    """

    code = 76


def fetched(batches: Iterator[Any], count: int) -> tuple[list[Any], str]:
    """The next batches, at most `count`, and what is wrong with the data, with file and row; empty when nothing is."""
    try:
        return list(itertools.islice(batches, count)), ""
    except TunesmithError as error:
        text, kind = str(error), type(error)
        if text.startswith("Caught "):  # by a worker of torch, which tells its traceback in the message
            text = text.rpartition(f"{kind.__module__}.{kind.__qualname__}: ")[2].strip()
        return [], text


def ended(output_dir: Path, wrong: str) -> BadData:
    """What ends the run.

    Args:
        wrong: with the data, as `fetched` gives it.
    """
    kept = checkpoints.complete(output_dir)
    held = f"what was trained is kept in {kept[-1]}" if kept else "no checkpoint could be kept, so it begins anew"
    return BadData(f"{wrong}\n{held}.\nmend the row, or take it out; then: tunesmith train {output_dir} resume=true")
