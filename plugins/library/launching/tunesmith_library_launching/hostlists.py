"""Lists of machines as SLURM writes them: `gpu[001-003,007],login,rack[1-2]n[01-02]`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

_PART = re.compile(r"\[([^\]]*)\]|([^\[\]]+)")


def hosts(text: str) -> list[str]:
    """The names of a list, in its order; numbers keep their leading zeros."""
    return [name for item in _items(text) for name in _names(item)]


def _items(text: str) -> Iterator[str]:
    """The items between commas that stand in no brackets."""
    for item in re.findall(r"(?:\[[^\]]*\]|[^,\[\]])+", text):
        yield item.strip()


def _names(item: str) -> Iterator[str]:
    parts = [list(_numbers(inside)) if inside else [plain] for inside, plain in _PART.findall(item)]
    for chosen in itertools.product(*parts):
        yield "".join(chosen)


def _numbers(ranges: str) -> Iterator[str]:
    """`001-003,7` gives 001, 002, 003 and 7."""
    for each in ranges.split(","):
        first, _, last = each.strip().partition("-")
        if not last:
            yield first
            continue
        for number in range(int(first), int(last) + 1):
            yield str(number).zfill(len(first))
