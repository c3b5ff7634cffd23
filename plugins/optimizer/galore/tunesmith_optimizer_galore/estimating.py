"""What GaLore remembers of a matrix, and what its update needs beside that; without torch."""

from __future__ import annotations

from tunesmith_library_optimizing.estimating import of_svd


def numbers_of(rows: int, columns: int, rank: int, proj_type: str) -> int:
    """The projection, or both, and two moments of the projected gradient (arXiv 2403.03507, table 1)."""
    if proj_type == "full":
        return rank * (rows + columns) + 2 * rank * rank
    wide = rows < columns
    left = {"std": wide, "reverse_std": not wide, "left": True, "right": False}[proj_type]
    return rank * rows + 2 * rank * columns if left else rank * columns + 2 * rank * rows


def beside(rows: int, columns: int, width: float, rank: int) -> float:
    """Bytes of an update, of which the singular vectors of a gradient need more than its projection there and back.

    Args:
        width: bytes of a number.
    """
    back = width * (rows * columns + 2 * rank * max(rows, columns))
    return max(back, of_svd(rows, columns, width))
