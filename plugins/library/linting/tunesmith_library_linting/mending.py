"""A data set without what is wrong with it, as far as that can be left out or masked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .findings import Finding, Item
from .linter import Linter
from .privacy import PERSONAL, SECRETS, Personal, Secrets, masked

_LEFT_OUT, _MASKED = "leaves it out", "masks it"
_PATTERNS = {Secrets.name: SECRETS, Personal.name: PERSONAL}


@dataclass
class Mended:
    """What became of the rows of a set."""

    kept: int = 0
    left_out: Counter[str] = field(default_factory=Counter)  # rows by the first check that asked for it
    masked: Counter[str] = field(default_factory=Counter)  # rows by check
    as_they_are: Counter[str] = field(default_factory=Counter)  # findings that are in what was kept, by check


def mended(
    linter: Linter, write: Callable[[Item, Mapping[str, Any]], None]
) -> tuple[Mended, Callable[[Sequence[Item]], None]]:
    """What to do with the records of a set that was checked, when it is read again.

    An error of a check whose rows are left out, and a row that is there twice, is left out; secrets and personal data
    are masked; other warnings stay.

    Args:
        linter: has seen the set.
        write: is given those that stay, and their records as they stood in the file, or masked.
    """
    by_row: dict[tuple[str, int], list[Finding]] = {}
    for finding in linter.findings:
        if finding.row is not None:
            by_row.setdefault((finding.data, finding.row), []).append(finding)
    mends = {name: check.mends for name, check in linter.checks.items()}
    done = Mended()

    def take(items: Sequence[Item]) -> None:
        for item in items:
            found = by_row.get((item.data, item.row), [])
            cause = next((one.check for one in found if _leaves_out(one, mends)), None)
            if cause is not None:
                done.left_out[cause] += 1
                continue
            names = {one.check for one in found}
            masking = [name for name in names if mends[name] == _MASKED]
            done.masked.update(masking)
            done.as_they_are.update(names - set(masking))
            done.kept += 1
            write(item, masked(item.record, _patterns(masking)) if masking else item.record)

    return done, take


def _leaves_out(finding: Finding, mends: Mapping[str, str]) -> bool:
    doubled = finding.check in ("duplicate", "near_duplicate")
    return mends[finding.check] == _LEFT_OUT and (finding.severity == "error" or doubled)


def _patterns(checks: Iterable[str]) -> list[Any]:
    return [pattern for check in checks for pattern in _PATTERNS[check]]
