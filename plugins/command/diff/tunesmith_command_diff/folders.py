"""Files: whether two folders are the same bit for bit, and in which keys their JSON files differ."""

from __future__ import annotations

import filecmp
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError

from tunesmith_command_diff.findings import Part

_WRITER = frozenset({"_name_or_path", "transformers_version", "peft_version"})  # who wrote a file, and from what
# keys of an adapter_config.json that hold sets, which peft writes in any order
_SETS = frozenset({"target_modules", "exclude_modules", "modules_to_save", "target_parameters"})
_SHOWN = 30  # characters of a value
_MISSING = "-"


def same_files(first: Path, second: Path) -> int | None:
    """How many files two folders hold, when they hold the same ones, bit for bit; None when they do not.

    Files whose names begin with a dot do not count.
    """
    ours, theirs = _files(first), _files(second)
    if ours.keys() != theirs.keys() or any(ours[name] != theirs[name] for name in ours):
        return None
    equal = all(filecmp.cmp(first / name, second / name, shallow=False) for name in ours)
    return len(ours) if equal else None


def _files(folder: Path) -> dict[str, int]:
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    visible = {name: path for name, path in found.items() if not any(part.startswith(".") for part in name.parts)}
    return {str(name): path.stat().st_size for name, path in visible.items()}


def json_files(name: str, first: Path, second: Path) -> Part:
    """Compare two JSON files key by key; a file that is not there has no keys.

    Keys that say who wrote a file are told, and make no difference.

    Raises: TunesmithError for a file that is no JSON.
    """
    ours, theirs = (dict(_flat(_read(file))) for file in (first, second))
    differing = {
        key: (ours.get(key, _MISSING), theirs.get(key, _MISSING))
        for key in sorted(ours.keys() | theirs.keys())
        if (key in ours) != (key in theirs) or ours[key] != theirs[key]
    }
    real = [key for key in differing if key not in _WRITER]
    lines = [f"{key}: {_short(a)} → {_short(b)}" for key, (a, b) in differing.items()]
    there = [file.is_file() for file in (first, second)]
    if not any(there):
        return Part(name, True, f"neither has {first.name}")
    summary = f"{len(real)} of {len(ours.keys() | theirs.keys())} keys differ" if real else "equal"
    if there[0] != there[1]:
        summary = f"only {'A' if there[0] else 'B'} has {(first if there[0] else second).name}"
    facts = {"keys": {key: {"a": a, "b": b} for key, (a, b) in differing.items()}}
    return Part(name, not real and there[0] == there[1], summary, lines, facts)


def _read(file: Path) -> Any:
    if not file.is_file():
        return {}
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TunesmithError(f"{file} cannot be read: {error}") from error


def unreadable(folder: Path) -> list[str]:
    """Which JSON files of a folder are none, and where they stop being one: whoever loads them may not say it."""
    found = []
    for file in sorted(folder.glob("*.json")):
        try:
            _read(file)
        except TunesmithError as error:
            found.append(str(error))
    return found


def missing(first: Path, second: Path, pattern: str) -> list[str]:
    """Which files only one of two folders has, in words."""
    ours, theirs = ({file.name for file in folder.glob(pattern)} for folder in (first, second))
    return [
        f"{folder} has no {name}, which {who} has"
        for folder, who, names in ((first, "B", theirs - ours), (second, "A", ours - theirs))
        for name in sorted(names)
    ]


def _flat(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings by dotted keys; the older name of a number's kind is the newer one."""
    if isinstance(value, Mapping) and (value or not at):
        for key, inner in value.items():
            name = "dtype" if key == "torch_dtype" else str(key)
            yield from _flat(inner, f"{at}.{name}" if at else name)
    elif at in _SETS and isinstance(value, list):
        yield at, sorted(value, key=str)
    else:
        yield at, value


def _short(value: Any) -> str:
    text = value if value == _MISSING else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
