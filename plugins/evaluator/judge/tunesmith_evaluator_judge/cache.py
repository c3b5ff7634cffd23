"""What a judge has said, kept: the same judge asked the same again says the same, at no cost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith_library_configuration.secrets import without_secrets


class Cache:
    """The replies of one judge, in a file of a line each, which several processes may add to."""

    def __init__(self, folder: Path | None, judge: Mapping[str, Any], sampling: Mapping[str, Any]) -> None:
        """
        Args:
            folder: of the caches; None keeps nothing behind the end of the process.
            judge: its configuration, of which secrets do not count.
            sampling: how its replies are drawn.
        """
        known = json.dumps([without_secrets(judge), _stamps(judge), dict(sampling)], sort_keys=True, default=str)
        self._file = folder / f"{_digest(known)}.jsonl" if folder else None
        self._replies: dict[str, str] = dict(_lines(self._file)) if self._file else {}

    def get(self, prompt: str) -> str | None:
        """The reply to a prompt; None where it is not known."""
        return self._replies.get(_digest(prompt))

    def put(self, replies: Mapping[str, str]) -> None:
        """Keep replies by their prompts."""
        self._replies |= {_digest(prompt): reply for prompt, reply in replies.items()}
        if self._file is None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            json.dumps({"prompt": _digest(prompt), "reply": reply}, ensure_ascii=False) + "\n"
            for prompt, reply in replies.items()
        ]
        with self._file.open("a", encoding="utf-8") as file:
            file.write("".join(lines))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _lines(file: Path) -> Any:
    """Prompts and replies; a line that a killed process did not finish is none."""
    if file.is_file():
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                read = json.loads(line)
                yield read["prompt"], read["reply"]
            except (ValueError, KeyError, TypeError):
                continue


def _stamps(judge: Mapping[str, Any]) -> list[tuple[str, int]]:
    """When the weights of a judge that is here were written: one that was trained again says other things."""
    folders = [Path(str(part["path"])) for part in judge.values() if isinstance(part, Mapping) and part.get("path")]
    files = [file for folder in folders for kind in ("safetensors", "gguf") for file in folder.glob(f"*.{kind}")]
    return [(str(file.resolve()), file.stat().st_mtime_ns) for file in sorted(files)]
