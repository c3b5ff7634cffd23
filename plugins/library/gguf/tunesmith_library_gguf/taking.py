"""Files that another exporter of the same command has written and proven: taken over instead of made again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from tunesmith import announce
from tunesmith.types import ModelHandle
from tunesmith_library_proving.gate import REPORT
from tunesmith_library_publishing.inventory import read_json


def offer(handle: ModelHandle, key: Hashable, file: Path) -> None:
    """Let other exporters take a finished file, and what was found of it.

    Args:
        key: all that it depends on.
    """
    said = read_json(file.parent / REPORT)
    said.pop("projector", None)  # a file of its own, which is not taken over
    handle.shared.offer(key, (file, said.get("files", {}).get(file.name, said)))


def taken(handle: ModelHandle, key: Hashable, target: Path, form: str) -> bool:
    """Take such a file over under another name, with what was found of it; False where there is none.

    Args:
        form: the name of the exporter that takes it.
    """
    made: tuple[Path, dict[str, Any]] | None = handle.shared.get(key)
    if made is None:
        return False
    file, said = made
    try:
        os.link(file, target)
    except OSError:  # a disk without second names, or another disk
        shutil.copy2(file, target)
    announce("GGUF", target.name, f"{file.name}, which another exporter of this command has made")
    if said:
        text = json.dumps(said | {"format": form}, indent=2, ensure_ascii=False) + "\n"
        (target.parent / REPORT).write_text(text, encoding="utf-8")
    return True
