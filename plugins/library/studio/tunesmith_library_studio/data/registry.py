"""The data sets that are known by name: entries of a YAML file, and of a `dataset_info.json` of LLaMA-Factory's."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from tunesmith import DataError
from tunesmith.addresses import hub_of
from tunesmith.files import replacing
from tunesmith_library_configuration.reading import read_yaml
from tunesmith_library_configuration.recipes import find_recipe
from tunesmith_library_formats.dataset_info import FILE, is_dataset_info, sets_in

NAME = Path("conf/datasets.yaml")
_TOP = re.compile(r"^[^\s#].*?:(\s|$)")  # a key at the top of a YAML file
_GOOD = re.compile(r"[\w][\w.-]*")
_writing = Lock()


def file_of(root: Path) -> Path | None:
    """The workspace's registry, else the installed one."""
    own = root / NAME
    return own if own.is_file() else find_recipe(NAME)


def entries(root: Path) -> dict[str, dict[str, Any]]:
    """Every entry by its name: its options, `path` as an absolute one where it is a file's, and `file` it is from."""
    found: dict[str, dict[str, Any]] = {}
    infos = [root / folder / FILE for folder in (".", "data")]
    for file in (file_of(root), *infos):
        if file is None or not file.is_file():
            continue
        content, _ = read_yaml(file)
        if file.name == FILE and not is_dataset_info(content):
            continue
        listed = sets_in(content) if is_dataset_info(content) else content
        for name, value in listed.items():
            options = {"path": value} if isinstance(value, str) else dict(value) if isinstance(value, Mapping) else {}
            found.setdefault(str(name), {**options, "path": _located(str(options.get("path", "")), file), "file": file})
    return found


def _located(path: str, file: Path) -> str:
    beside = file.parent / path
    if path and "://" not in path and (beside.exists() or hub_of(path)[0] == "local"):
        return str(beside.resolve())
    return path


def save(root: Path, name: str, options: Mapping[str, Any]) -> Path:
    """Write an entry to the workspace's registry, in place of one of that name; comments and other entries stay.

    A registry that is not there yet begins as a copy of the installed one, whose names would be gone otherwise.

    Raises: DataError for a name that is none, or an entry without a path.
    """
    if not _GOOD.fullmatch(name):
        raise DataError(f"{name!r} is no name of a data set\n  letters, digits, _ - and . are possible")
    if not options.get("path"):
        raise DataError(f"{name}: an entry needs a path: a file, a folder or a hub address")
    own = root / NAME
    written = {key: value for key, value in options.items() if value not in (None, "", {}, [])}
    here = root / str(written["path"])
    if "://" not in str(written["path"]) and here.exists():
        written["path"] = os.path.relpath(here, own.parent)
    with _writing:
        _write(own, name, json.dumps(written, ensure_ascii=False))
    return own


def forget(root: Path, name: str) -> Path:
    """Take an entry out of the workspace's registry. Raises: DataError where it has none of that name."""
    own = root / NAME
    with _writing:
        if not own.is_file() or name not in read_yaml(own)[0]:
            raise DataError(f"{NAME} of this workspace has no entry {name}")
        _write(own, name, None)
    return own


def _write(own: Path, name: str, value: str | None) -> None:
    source = own if own.is_file() else find_recipe(NAME)
    text = source.read_text("utf-8") if source else ""
    lines = text.splitlines()
    starts = [index for index, line in enumerate(lines) if re.match(rf"^['\"]?{re.escape(name)}['\"]?\s*:", line)]
    if starts:
        first = starts[0]
        last = next((at for at in range(first + 1, len(lines)) if _is_beyond(lines[at])), len(lines))
        lines[first:last] = [] if value is None else [f"{name}: {value}"]
    elif value is not None:
        lines.append(f"{name}: {value}")
    with replacing(own) as draft:
        draft.write_text("\n".join(lines) + "\n", "utf-8")


def _is_beyond(line: str) -> bool:
    """Whether a line belongs no more to the entry before it."""
    return not line.strip() or bool(_TOP.match(line)) or line.startswith("#")
