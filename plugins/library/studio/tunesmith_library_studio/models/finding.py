"""Where models lie: in folders of the workspace and caches of hubs. A walk is bounded, and reads what changed."""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_DEEP, _MANY, _LONG = 5, 4000, 2.0  # levels, folders and seconds of a walk at most
_OTHERS = frozenset(
    ("node_modules", "__pycache__", "site-packages", "venv", "env", "proc", "sys", "dev", "build", "dist")
)


@dataclass(frozen=True)
class _Looked:
    changed: int
    folders: tuple[str, ...]
    is_model: bool
    is_adapter: bool
    is_run: bool
    is_export: bool
    files: tuple[str, ...]  # that are models by themselves


@dataclass(frozen=True)
class Found:
    """A folder, or file, that can be chosen as a model."""

    path: Path
    kind: str  # model, adapter, run, checkpoint, export, file


class Walk:
    """Looks through folders, nearest first; a folder that has not changed is not read again."""

    def __init__(self) -> None:
        self._looked: dict[str, _Looked] = {}
        self.is_whole = True  # whether the last walk came to its end

    def models(self, *starts: Path) -> Iterator[Found]:
        """All models below some folders, each once."""
        waiting = deque((str(start), 0, False) for start in dict.fromkeys(starts))
        seen: set[str] = set()
        until = time.monotonic() + _LONG
        self.is_whole = True
        while waiting:
            path, depth, inside_run = waiting.popleft()
            if path in seen:
                continue
            if len(seen) >= _MANY or time.monotonic() > until:
                self.is_whole = False
                return
            seen.add(path)
            looked = self._look(path)
            if looked is None:
                continue
            kind = _kind(path, looked, inside_run)
            if kind:
                yield Found(Path(path), kind)
            elif not inside_run:
                yield from (Found(Path(path, name), "file") for name in looked.files)
            if depth < _DEEP and not (kind and kind != "run"):
                inside = inside_run or (looked.is_run and depth > 0)  # a workspace may have a run.yaml of its own
                names = (name for name in looked.folders if not inside or name.startswith("checkpoint-"))
                waiting.extend((os.path.join(path, name), depth + 1, inside) for name in names)

    def _look(self, path: str) -> _Looked | None:
        try:
            changed = os.stat(path).st_mtime_ns
            known = self._looked.get(path)
            if known and known.changed == changed:
                return known
            with os.scandir(path) as entries:
                found = list(entries)
        except OSError:
            return None
        names = {entry.name for entry in found}
        folders = (entry.name for entry in found if _is_searched(entry.name) and entry.is_dir(follow_symlinks=False))
        looked = _Looked(
            changed,
            tuple(sorted(folders)),
            "config.json" in names,
            "adapter_config.json" in names,
            "run.yaml" in names,
            "export_report.json" in names,
            tuple(sorted(name for name in names if name.lower().endswith(".gguf"))),
        )
        self._looked[path] = looked
        return looked


def _is_searched(name: str) -> bool:
    return not name.startswith(".") and name not in _OTHERS


def _kind(path: str, looked: _Looked, inside_run: bool) -> str | None:
    if looked.is_export:
        return "export"
    if inside_run:
        is_checkpoint = re.search(r"checkpoint-\d+$", path) and (looked.is_model or looked.is_adapter)
        return "checkpoint" if is_checkpoint else None
    if looked.is_run:
        return "run" if looked.is_model or looked.is_adapter else None  # of another there are checkpoints at most
    if looked.is_adapter:
        return "adapter"
    return "model" if looked.is_model else None


def cached_models() -> Iterator[tuple[str, Path]]:
    """The models in the caches of hubs: address, and folder of the newest version."""
    yield from _newest("", _huggingface(), "models--*--*")
    modelscope = Path(_said("MODELSCOPE_CACHE", "~/.cache/modelscope")) / "models"
    now = dict(_newest("modelscope://", modelscope, "*--*"))
    yield from ({**_earlier(modelscope.parent / "hub" / "models"), **_earlier(modelscope), **now}).items()


def _earlier(cache: Path) -> dict[str, Path]:
    """The models as clients of ModelScope before its cache had versions kept them: OWNER/NAME, with `___` for dots."""
    folders = [file.parent for file in sorted(cache.glob("*/*/config.json")) if not file.parent.is_symlink()]
    return {f"modelscope://{folder.parent.name}/{folder.name.replace('___', '.')}": folder for folder in folders}


def _newest(scheme: str, cache: Path, folders: str) -> Iterator[tuple[str, Path]]:
    """Of each model of a cache its address, and the version that was fetched last."""
    for folder in sorted(cache.glob(folders)):
        owner, _, name = folder.name.removeprefix("models--").partition("--")
        snapshots = [path for path in folder.glob("snapshots/*") if (path / "config.json").exists()]
        if snapshots:
            yield f"{scheme}{owner}/{name}", max(snapshots, key=lambda path: path.stat().st_mtime)


def _huggingface() -> Path:
    """The folder of downloads, as huggingface_hub finds it."""
    said = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return Path(os.path.expandvars(said or os.path.join(home, "hub"))).expanduser()


def _said(name: str, otherwise: str) -> Path:
    return Path(os.path.expandvars(os.environ.get(name) or otherwise)).expanduser()
