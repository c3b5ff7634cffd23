"""Encoded data sets on disk: a folder each, `data.arrow` with the examples and `about.json` with what made them.

The folder's name is a digest of all that the examples depend on, the key. A large set is there in shards: folders
`00000`, `00001` … in it that are such folders themselves, beside an `about.json` that names them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith_library_configuration.files import digest

DATA, ABOUT = "data.arrow", "about.json"

About = Mapping[str, Any]
"""What `about.json` says, without its seal."""


def read_about(folder: Path) -> dict[str, Any]:
    """What `about.json` says. Raises: OSError, ValueError when it is not as it was written."""
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    if not isinstance(about, dict) or about.pop("seal", None) != _seal(about):
        raise ValueError(f"{ABOUT} is not as it was written")
    return about


def write_about(folder: Path, about: About) -> None:
    """Write `about.json` with the digest of the data that stand beside it."""
    about = {**about, "digest": digest(folder / DATA)}
    (folder / ABOUT).write_text(json.dumps({**about, "seal": _seal(about)}, indent=1), encoding="utf-8")


def write_manifest(folder: Path, about: About, shards: Sequence[str]) -> None:
    """Write `about.json` of a set whose examples are in shards, folders in it of these names."""
    parts = [{"name": name, **_told(read_about(folder / name))} for name in shards]
    about = {**about, "shards": parts}
    (folder / ABOUT).write_text(json.dumps({**about, "seal": _seal(about)}, indent=1), encoding="utf-8")


def data_files(folder: Path, about: About) -> list[Path]:
    """The files with the examples of a data set, in their order; shards without an example have none."""
    if "shards" not in about:
        return [folder / DATA]
    return [folder / shard["name"] / DATA for shard in about["shards"] if shard["examples"]]


def damage_of_sizes(folder: Path, about: About) -> str | None:
    """What is wrong with a data set by the sizes of its files, without reading them."""
    for part in about.get("shards", [{"name": "", "size": about.get("size")}]):
        file = folder / part["name"] / DATA
        try:
            found = file.stat().st_size
        except OSError:
            found = -1
        if part["size"] is not None and found != part["size"]:
            return f"{file.relative_to(folder)} is not as long as it was written"
    return None


def opened(folder: Path) -> tuple[About | None, str | None]:
    """What a folder says of itself when it is whole; else what is wrong, if it is there.

    Every byte is read: numbers that have changed on the disk would be trained.
    """
    if not folder.exists():
        return None, None
    try:
        about = read_about(folder)
        for part in about.get("shards", [{"name": "", "digest": about.get("digest")}]):
            if digest(folder / part["name"] / DATA) != part["digest"]:
                return None, f"{Path(part['name'], DATA)} is not as it was written"
    except (OSError, ValueError) as error:
        return None, str(error) or type(error).__name__
    return about, None


def mark_used(folder: Path) -> None:
    """Remember that a data set is used now; where nothing may be written it is not."""
    with contextlib.suppress(OSError):
        os.utime(folder / ABOUT)


def differences(former: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What two encodings of the same files were not made with alike, by name; versions with both numbers."""
    found = []
    for name in sorted({*former, *now}):
        was, other = former.get(name), now.get(name)
        if was != other:
            version = any(value and value[:1].isdigit() and "." in value for value in (was, other))
            found.append(f"{name} ({was or 'none'}, now {other or 'none'})" if version else name)
    return found


def _told(about: About) -> dict[str, Any]:
    """What a set says of one of its shards."""
    return {name: about[name] for name in ("examples", "records", "size", "digest")}


def _seal(about: About) -> str:
    """The digest of what `about.json` says."""
    return hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=16).hexdigest()
