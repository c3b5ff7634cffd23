"""Versions of a data set beside it: `train.v2.jsonl`, and a manifest of where each comes from. The original stays."""

from __future__ import annotations

import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from tunesmith import DataError
from tunesmith.files import replacing

from .opening import Found, Opened

MANIFEST = ".versions.json"
_NUMBERED = re.compile(r"(.+)\.v(\d+)\.jsonl")
_saving = Lock()


def manifest_of(path: Path) -> Path:
    """The manifest of the set that a file is a version of; it need not be there yet."""
    if _NUMBERED.fullmatch(path.name):
        for manifest in sorted(path.parent.glob(f"*{MANIFEST}")):
            if any(version["file"] == path.name for version in _read(manifest)):
                return manifest
    return path.with_name(path.name + MANIFEST)


def versions(path: Path) -> list[dict[str, Any]]:
    """All versions of a set, the original first as number 1.

    Each has `number`, `file`, `parent` (a file; null of the original), `author`, `time`, `what`, `note`, `rows`,
    `changes` (counts by kind), `there` (whether the file still is).
    """
    manifest = manifest_of(path)
    original = manifest.with_name(manifest.name.removesuffix(MANIFEST))
    first = {"number": 1, "file": original.name, "parent": None, "author": "", "what": "original", "note": ""}
    about = original.stat() if original.is_file() else None
    first |= {"time": about.st_mtime if about else None, "rows": None, "changes": {}}
    return [{**one, "there": (path.parent / one["file"]).is_file()} for one in (first, *_read(manifest))]


def save(
    path: Path, author: str, what: str, note: str, write: Callable[[Path], tuple[int, dict[str, int]]]
) -> dict[str, Any]:
    """Write a new version of a set, and note it; both are there as a whole or not at all.

    Args:
        path: the version that it comes from.
        write: writes the file, and gives the number of its rows and counts of what was changed.

    Returns: the version's line in the manifest.
    """
    if not author.strip():
        raise DataError("who saves it? an author's name is needed")
    with _saving:
        manifest = manifest_of(path)
        noted = _read(manifest)
        stem = manifest.name.removesuffix(MANIFEST).split(".")[0]
        number = max((one["number"] for one in noted), default=1) + 1
        while (made := path.with_name(f"{stem}.v{number}.jsonl")).exists():
            number += 1
        with replacing(made) as draft:
            rows, changes = write(draft)
        about = {"number": number, "file": made.name, "parent": path.name, "author": author.strip()}
        about |= {"time": time.time(), "what": what, "note": note, "rows": rows, "changes": changes}
        with replacing(manifest) as draft:
            content = {"original": manifest.name.removesuffix(MANIFEST), "versions": [*noted, about]}
            draft.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")
        return about


def copied(source: Opened) -> Callable[[Path], tuple[int, dict[str, int]]]:
    """What writes the rows of another version again."""

    def write(draft: Path) -> tuple[int, dict[str, int]]:
        rows = 0
        with draft.open("w", encoding="utf-8", newline="\n") as stream:
            for found in source.all():
                if not found.is_blank:
                    stream.write(found.text + "\n")
                    rows += 1
        return rows, {}

    return write


def differences(one: Opened, other: Opened, most: int) -> dict[str, Any]:
    """What differs between two versions: rows that changed, went, and came, the first of each kind.

    Rows are the same where their text is; those that differ are a changed row where they stand between the same ones.
    """
    common = Counter(hash(found.text) for found in one.all() if not found.is_blank)
    common &= Counter(hash(found.text) for found in other.all() if not found.is_blank)
    gone, came = _apart(one, common), _apart(other, common)
    changed, removed, added = [], [], []
    for place in sorted({*gone, *came}):
        before, after = gone[place], came[place]
        paired = min(len(before), len(after))
        changed += list(zip(before[:paired], after[:paired], strict=True))
        removed += before[paired:]
        added += after[paired:]
    return {
        "same": common.total(),
        "counts": {"changed": len(changed), "removed": len(removed), "added": len(added)},
        "changed": [{"before": _told(before), "after": _told(after)} for before, after in changed[:most]],
        "removed": [_told(found) for found in removed[:most]],
        "added": [_told(found) for found in added[:most]],
    }


def _apart(rows: Opened, common: Counter[int]) -> dict[int, list[Found]]:
    """The rows that only one side has, by how many common ones stand before them."""
    left, place = Counter(common), 0
    apart: dict[int, list[Found]] = defaultdict(list)
    for found in rows.all():
        if found.is_blank:
            continue
        if left[hash(found.text)] > 0:
            left[hash(found.text)] -= 1
            place += 1
        else:
            apart[place].append(found)
    return apart


def _told(found: Found) -> dict[str, Any]:
    return {"row": found.row, "record": found.record, "text": found.text if found.record is None else ""}


def _read(manifest: Path) -> list[dict[str, Any]]:
    if not manifest.is_file():
        return []
    noted: list[dict[str, Any]] = json.loads(manifest.read_text("utf-8"))["versions"]
    return noted
