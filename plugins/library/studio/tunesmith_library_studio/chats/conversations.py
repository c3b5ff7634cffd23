"""Conversations that are kept: a file each, a tree of messages whose branches all stay.

A conversation has `id`, `revision`, `title`, `created`, `changed`; `nodes`, messages in OpenAI's shape, each with its
`id`, the `parent` that it follows, None for a first one, and what a front end keeps beside; `leaf`, the last message of
the branch that is shown; and what else a front end keeps: settings, tools, models.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith_library_configuration.files import replacing

ROLES = ("system", "user", "assistant", "tool")

_ID = re.compile(r"[0-9a-f]{16}")
_MOST = 10_000  # messages of a conversation


class Changed(TunesmithError):
    """A conversation was changed elsewhere since it was read."""


@dataclass(frozen=True)
class _Known:
    """What a list needs of a conversation, read once for each change of its file."""

    stamp: int
    summary: Mapping[str, Any]
    text: str  # what is searched, in small letters


class Conversations:
    """A folder of conversations."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def list(self, search: str = "", offset: int = 0, limit: int = 50) -> dict[str, Any]:
        """The newest first: `items` with `id`, `title`, `changed`, `created`, `messages`, `model`; and their `total`.

        Args:
            search: words that all must be in the title or a message.
        """
        words = search.lower().split()
        found = [known.summary for known in self._all() if all(word in known.text for word in words)]
        found.sort(key=lambda summary: summary["changed"], reverse=True)
        return {"items": found[offset : offset + limit], "total": len(found)}

    def get(self, id: str) -> dict[str, Any]:
        """A whole conversation. Raises: TunesmithError where there is none."""
        with contextlib.suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads(self._file(id).read_text(encoding="utf-8"))
            return found
        raise TunesmithError(f"no conversation {id!r} is kept")

    def save(self, conversation: Mapping[str, Any]) -> dict[str, Any]:
        """Keep a conversation, a new one where it has no `id`; it comes back without its nodes.

        Raises: Changed where another was kept since the one whose `revision` it has; TunesmithError for what is none.
        """
        check(conversation)
        now = time.time()
        with self._lock:
            id = conversation.get("id") or secrets.token_hex(8)
            revision, created = 0, now
            if self._file(id).is_file():
                former = self.get(id)
                revision, created = former["revision"], former["created"]
                if conversation.get("revision") != revision:
                    raise Changed(
                        "this conversation was changed in another window; open it again, or keep a copy of it"
                    )
            title = str(conversation.get("title") or "").strip() or title_of(conversation)
            made = {
                **conversation,
                "id": id,
                "title": title,
                "created": created,
                "changed": now,
                "revision": revision + 1,
            }
            with replacing(self._file(id)) as beside:
                beside.write_text(json.dumps(made, ensure_ascii=False), encoding="utf-8")
        return {key: value for key, value in made.items() if key != "nodes"}

    def remove(self, id: str) -> None:
        """Forget one. Raises: TunesmithError where there is none."""
        try:
            self._file(id).unlink()
        except OSError as error:
            raise TunesmithError(f"no conversation {id!r} is kept") from error

    def _file(self, id: str) -> Path:
        if not _ID.fullmatch(id):
            raise TunesmithError(f"no conversation {id!r} is kept")
        return self.folder / f"{id}.json"

    def _all(self) -> Iterator[_Known]:
        files = {file.stem: file for file in self.folder.glob("*.json") if _ID.fullmatch(file.stem)}
        for gone in self._known.keys() - files.keys():
            self._known.pop(gone, None)
        for id, file in files.items():
            with contextlib.suppress(OSError, TunesmithError, KeyError, TypeError):  # one that is broken is not listed
                stamp = file.stat().st_mtime_ns
                if id not in self._known or self._known[id].stamp != stamp:
                    self._known[id] = _known(stamp, self.get(id))
                yield self._known[id]


def _known(stamp: int, conversation: Mapping[str, Any]) -> _Known:
    keys = ("id", "title", "created", "changed", "revision")
    models = [str(node["model"]) for node in conversation["nodes"] if node.get("model")]
    summary = {key: conversation[key] for key in keys} | {
        "messages": len(path_of(conversation)),
        "model": models[-1] if models else "",
    }
    said = "\n".join([conversation["title"], *(text_of(node) for node in conversation["nodes"])])
    return _Known(stamp, summary, said.lower())


def check(conversation: Mapping[str, Any]) -> None:
    """Raises: TunesmithError for what is no conversation, naming the message."""
    nodes = conversation.get("nodes")
    if not isinstance(nodes, list) or len(nodes) > _MOST:
        raise TunesmithError(f"a conversation has `nodes`: a list of {_MOST:,} messages at most")
    seen: set[str] = set()
    for index, node in enumerate(nodes):
        if not isinstance(node, dict) or not isinstance(node.get("id"), str) or node.get("role") not in ROLES:
            raise TunesmithError(f"nodes[{index}] is no message: it needs `id` and a `role` of {', '.join(ROLES)}")
        if node["id"] in seen:
            raise TunesmithError(f"nodes[{index}]: there are two messages {node['id']!r}")
        if node.get("parent") is not None and node["parent"] not in seen:
            raise TunesmithError(f"nodes[{index}] follows {node['parent']!r}, which does not stand before it")
        seen.add(node["id"])
    if conversation.get("leaf") is not None and conversation["leaf"] not in seen:
        raise TunesmithError(f"`leaf` is {conversation['leaf']!r}, which is no message of the conversation")


def path_of(conversation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of the branch that is shown, the first one first."""
    by_id = {node["id"]: node for node in conversation["nodes"]}
    path, at = [], conversation.get("leaf")
    while at is not None:
        path.append(by_id[at])
        at = by_id[at].get("parent")
    return path[::-1]


def text_of(node: Mapping[str, Any]) -> str:
    """What a message says, as plain text."""
    content = node.get("content")
    if isinstance(content, list):
        return "\n".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return str(content or "")


def title_of(conversation: Mapping[str, Any]) -> str:
    """The beginning of the first question."""
    asked = next((text_of(node) for node in conversation["nodes"] if node["role"] == "user"), "")
    line = " ".join(asked.split())
    return line if len(line) <= 60 else line[:59].rstrip() + "…"


def as_markdown(conversation: Mapping[str, Any]) -> str:
    """The branch that is shown, for people to read."""
    parts = [f"# {conversation['title']}"]
    for node in path_of(conversation):
        who = f"{node['role']} ({node['model']})" if node.get("model") else node["role"]
        parts.append(f"## {who}")
        if thought := node.get("reasoning"):
            parts.append("\n".join(f"> {line}".rstrip() for line in thought.splitlines()))
        parts.append(text_of(node))
        for call in node.get("tool_calls") or []:
            parts.append(f"```json\n{json.dumps(call['function'], ensure_ascii=False)}\n```")
    return "\n\n".join(part for part in parts if part) + "\n"
