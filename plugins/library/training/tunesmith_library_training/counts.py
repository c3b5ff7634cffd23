"""How many examples and tokens of each data set a run was trained on, where a batch says of which one they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tunesmith.types import Batch

from tunesmith_library_training import processes

COUNTS = "counts"
"""The key of a batch under which its counts stand, and of what a checkpoint tells."""

Totals = dict[str, list[int]]
"""By data set: examples, and tokens of all their sequences."""


def counted(examples: Sequence[Mapping[str, Any]]) -> Totals:
    """The counts of a batch; {} where the examples say of no data set."""
    found: Totals = {}
    for example in examples:
        if "dataset" in example:
            lengths = [len(values) for name, values in example.items() if name.endswith("input_ids")]
            _add(found, {str(example["dataset"]): [1, sum(lengths)]})
    return found


class Counts:
    """What one process was trained on, and what all were before the run was resumed.

    Args:
        before: what a checkpoint told.
    """

    def __init__(self, before: Mapping[str, Sequence[int]] | None = None) -> None:
        self._before, self._own = before or {}, Totals()

    def trained(self, batches: Iterable[Batch]) -> None:
        """Take the counts out of batches that are trained on, and add them."""
        for batch in batches:
            _add(self._own, batch.pop(COUNTS, {}))

    def totals(self, group: Any = None) -> Totals:
        """Those of all processes since the beginning of the run; all call it."""
        found: Totals = {}
        own = self._own if processes.leads() else {}
        for part in (self._before, *processes.gathered(own, group)):
            _add(found, part)
        return dict(sorted(found.items()))


def named(totals: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """What is logged: `examples_of_NAME` and `tokens_of_NAME`, since the beginning of the run."""
    kinds = ("examples", "tokens")
    return {
        f"{kind}_of_{name}": float(number)
        for name, numbers in totals.items()
        for kind, number in zip(kinds, numbers, strict=True)
    }


def _add(totals: Totals, more: Mapping[str, Sequence[int]]) -> None:
    for name, numbers in more.items():
        totals[name] = [a + b for a, b in zip(totals.get(name, [0, 0]), numbers, strict=True)]
