"""What GaLore remembers of a matrix; without torch."""

from __future__ import annotations


def numbers_of(rows: int, columns: int, rank: int, proj_type: str) -> int:
    """The projection, or both, and two moments of the projected gradient (arXiv 2403.03507, table 1)."""
    if proj_type == "full":
        return rank * (rows + columns) + 2 * rank * rank
    wide = rows < columns
    left = {"std": wide, "reverse_std": not wide, "left": True, "right": False}[proj_type]
    return rank * rows + 2 * rank * columns if left else rank * columns + 2 * rank * rows
