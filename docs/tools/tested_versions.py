"""The versions of libraries that the tests passed with, as `tunesmith doctor` ships them.

`make versions SET=lowest` and `SET=newest` write what they installed beside themselves; constraints.txt is what
continuous integration runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FILE = ROOT / "plugins/command/doctor/tunesmith_command_doctor/tested.json"


def tested() -> Iterator[tuple[Path, str]]:
    """By library its `lowest`, `pinned` and `newest` version; a build's label (`+cpu`) is left out."""
    lowest, newest = (_versions(ROOT / f"tests/versions/{name}.txt") for name in ("lowest", "newest"))
    pinned = _versions(ROOT / "constraints.txt")
    told = {
        name: {"lowest": lowest[name], "pinned": pinned[name], "newest": newest[name]}
        for name in sorted(lowest.keys() & newest.keys() & pinned.keys())
    }
    yield _FILE, json.dumps(told, indent=2) + "\n"


def _versions(file: Path) -> dict[str, str]:
    """The pins of a list as pip reads it."""
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    pins = (line.partition("==") for line in lines if "==" in line and not line.startswith("#"))
    return {name: version.partition("+")[0] for name, _, version in pins}
