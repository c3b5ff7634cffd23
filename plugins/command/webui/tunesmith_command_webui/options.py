"""How the page is served."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Options:
    """The flags of the command."""

    runs: Path = Path("runs")  # where runs are written and looked for
    root: Path | None = None  # where relative paths start; the current folder by default
    host: str = "127.0.0.1"  # address to listen on
    port: int = 7860  # 0 is any that is free
    password: str | None = field(default=None, repr=False)  # None on this machine alone
    allowed: tuple[Path, ...] = ()  # further folders that paths may lead to
    hosts: tuple[str, ...] = ()  # further names that it may be called by
    max_upload_bytes: int = 1 << 30  # of one file
    opens: bool = False  # whether a browser is opened
