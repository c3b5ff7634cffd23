"""Models that can be chosen, and what is known of one."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

from tunesmith import TunesmithError

from tunesmith_library_studio.models.facts import facts_of
from tunesmith_library_studio.models.finding import Found, Walk, cached_models
from tunesmith_library_studio.workspace import Workspace

KINDS = ("run", "checkpoint", "export", "adapter", "model", "file", "cached", "known")
"""Kinds of models, in the order in which they are listed."""

_FRESH = 2.0  # seconds for which a walk through the folders counts


class Models:
    """The models of a workspace, of the hubs' caches, and those that are known by name."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._walk = Walk()
        self._lock = threading.Lock()
        self._found: list[Found] = []
        self._until = 0.0

    def listed(
        self, search: str = "", kinds: tuple[str, ...] = (), offset: int = 0, limit: int = 100
    ) -> dict[str, Any]:
        """Models that a search finds, a page of them.

        Args:
            search: words of which each stands in the name, address or template.
            kinds: of `KINDS`; none asks for all.

        Returns: `items`, `total`, and whether all folders were looked at (`whole`).
        """
        words = [_spelling(word) for word in search.split()]
        found = [each for each in self._all(kinds) if all(word in _spelling(_searched(each)) for word in words)]
        page = [self._told(each) for each in found[offset : offset + limit]]
        return {"items": page, "total": len(found), "whole": self._walk.is_whole}

    def describe(self, address: str) -> dict[str, Any]:
        """What is known of one model: a name, an id on a hub, or a path in the workspace; also of one nobody lists.

        Raises: TunesmithError where a path leads out of the workspace, or holds no model.
        """
        for each in self._all(()):
            named = (each["address"], each["name"], *each.get("hubs", {}).values())  # runs by their bare names, too
            if address in named:
                return self._told(each)
        if _is_path(address, self._workspace):
            path = self._workspace.path(address)
            if not path.exists():
                raise TunesmithError(f"{address} is not there.\n  a hub's id looks like org/name")
            return self._told({"address": address, "name": path.name, "kind": "model", "path": path})
        size = _size_in(address)
        return {"address": address, "name": address, "kind": "hub", **size}

    def _all(self, kinds: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        wanted = [kind for kind in KINDS if not kinds or kind in kinds]
        for kind in wanted:
            if kind == "known":
                yield from _known()
            elif kind == "cached":
                for address, folder in cached_models():
                    yield {"address": address, "name": address, "kind": kind, "path": folder}
            else:
                yield from (self._one(found) for found in self._walked() if found.kind == kind)

    def _walked(self) -> list[Found]:
        with self._lock:
            if time.monotonic() > self._until:
                starts = (self._workspace.runs, *self._workspace.folders)
                self._found = list(self._walk.models(*(start for start in starts if start.is_dir())))
                self._until = time.monotonic() + _FRESH
            return self._found

    def _one(self, found: Found) -> dict[str, Any]:
        runs = self._workspace.runs
        inside = found.path.is_relative_to(runs)
        name = str(found.path.relative_to(runs)) if inside else self._workspace.shown(found.path)
        address = self._workspace.shown(found.path)
        if not os.path.isabs(address) and "/" not in address:
            address = f"./{address}"  # a bare name is looked for among the known models first
        return {"address": address, "name": name, "kind": found.kind, "path": found.path}

    def _told(self, each: dict[str, Any]) -> dict[str, Any]:
        """What is told of a model: without where a cache has it, with what its files say."""
        path = each.pop("path", None)
        if path is None:
            return each
        try:
            return {**each, **facts_of(path)}
        except OSError as error:
            return {**each, "problem": str(error)}


def _known() -> Iterator[dict[str, Any]]:
    from tunesmith_library_configuration.models import known_models

    for model in known_models().values():
        told = {"template": model.template} if model.template else {}
        yield {"address": model.name, "name": model.name, "kind": "known", "hubs": dict(model.hubs), **told,
               **_size_in(model.name)}  # fmt: skip


def _size_in(name: str) -> dict[str, Any]:
    """The parameters that a name promises: 8B, 560M, 8x7B."""
    found = re.search(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)([BM])(?![a-z])", name, re.IGNORECASE)
    if not found:
        return {}
    times, number, unit = found.groups()
    return {"parameters": int(int(times or 1) * float(number) * (1e9 if unit in "Bb" else 1e6)), "by_name": True}


def _searched(each: dict[str, Any]) -> str:
    return " ".join((each["name"], each["address"], *each.get("hubs", {}).values(), each.get("template", "")))


def _spelling(text: str) -> str:
    return text.lower().replace("-", "").replace("_", "")


def _is_path(address: str, workspace: Workspace) -> bool:
    return address.startswith(("/", "./", "../", "~")) or (workspace.root / address).exists()
