"""Sizes and times as people say them."""

from __future__ import annotations

import itertools


def in_words(size: float) -> str:
    """Bytes as people say them, in powers of 1024: 7.9 GB."""
    units, number = ("B", "KB", "MB", "GB", "TB"), 0
    while size >= 999.5 and number < len(units) - 1:
        size, number = size / 1024, number + 1
    return f"{size:.3g} {units[number]}"


def duration(seconds: float) -> str:
    """Seconds as people say them: 0.4 s, 41 s, 3 min 20 s, 5 h 12 min, 2 days 3 h."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    units = (("days", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    whole = round(seconds) if seconds < 3_600 else round(seconds / 60) * 60
    for (name, size), (less, smaller) in itertools.pairwise(units):
        if whole >= size:
            first, rest = divmod(whole, size)
            rest //= smaller
            return f"{first} {'day' if name == 'days' and first == 1 else name}" + (f" {rest} {less}" if rest else "")
    return f"{whole} s"
