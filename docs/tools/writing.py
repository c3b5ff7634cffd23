"""What all programs that make pages have in common: what is stale is written, or with `--check` only named."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def write_stale(made: Iterable[tuple[Path, str]], *, check: bool, root: Path = ROOT) -> list[Path]:
    """Write the files whose text is another than the one that was made, or only say which they are.

    Args:
        root: what the paths that are said begin at.

    Returns: the stale files.
    """
    stale = []
    for file, text in made:  # each before the next is made, which may read it
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            continue
        stale.append(file)
        if not check:
            file.write_text(text, encoding="utf-8")
        print(f"{'stale, run make generate' if check else 'written'}: {file.relative_to(root).as_posix()}")
    return stale
