"""The form of all options, kept in the user's cache until what is installed changes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError, __version__
from tunesmith_library_caching.places import kept_in
from tunesmith_library_configuration.files import replacing

from tunesmith_library_studio.configuring.processes import Process
from tunesmith_library_studio.workspace import Workspace


def installed() -> list[tuple[str, int]]:
    """The folders where Python looks for packages, and when something was last put there or taken away."""
    places = [place for place in sys.path if place and os.path.isdir(place) and place != os.getcwd()]
    return [(place, os.stat(place).st_mtime_ns) for place in places]


class Forms:
    """All kinds, plugins and options, as a form needs them."""

    def __init__(self, workspace: Workspace) -> None:
        self._lock = threading.Lock()
        self._sources: dict[str, int] = {}
        self._form: bytes | None = None
        self._made_in: list[Any] = []
        self.process = Process(workspace, "forms", self.environment)

    def environment(self) -> list[Any]:
        """What the form, and a process that has imported plugins, depend on."""
        changed = [(file, _changed(file)) for file in self._sources]
        return [__version__, os.environ.get("TUNESMITH_PLUGINS", ""), *installed(), *changed]

    def form(self) -> tuple[bytes, str]:
        """The form as JSON, and a text that is another one when the form is.

        It is made in some seconds when it is first asked for, and again where a distribution was installed, removed or
        changed.

        Raises: TunesmithError.
        """
        with self._lock:
            if self._form is None:
                self._form = self._kept()
            if self._form is None or self.environment() != self._made_in:
                self._form = self._made()
            else:
                threading.Thread(target=self.process.warm, daemon=True).start()  # who asks for a form will fill it in
            return self._form, hashlib.sha256(self._form).hexdigest()[:16]

    def prepare(self) -> None:
        """Make, or read, the form in the background, before anybody asks for it; a failure is told to who does."""

        def make() -> None:
            with contextlib.suppress(TunesmithError):
                self.form()

        threading.Thread(target=make, daemon=True).start()

    @property
    def _file(self) -> Path:
        key = json.dumps([sys.prefix, sys.path, os.environ.get("TUNESMITH_PLUGINS")]).encode()
        return kept_in("forms") / f"{hashlib.blake2b(key, digest_size=16).hexdigest()}.json"

    def _kept(self) -> bytes | None:
        try:
            head, _, body = self._file.read_bytes().partition(b"\n")
            self._sources = json.loads(head)["sources"]
            self._made_in = self.environment()
            return body if json.loads(head)["environment"] == _as_json(self._made_in) else None
        except (OSError, ValueError, KeyError):
            return None

    def _made(self) -> bytes:
        found = self.process.ask("form")
        body = json.dumps(found["form"], ensure_ascii=False, separators=(",", ":")).encode()
        self._sources = found["sources"]
        self._made_in = self.environment()
        self.process.settle()
        head = json.dumps({"environment": self._made_in, "sources": self._sources}).encode()
        with contextlib.suppress(OSError), replacing(self._file) as draft:  # a cache that cannot be written is none
            draft.write_bytes(head + b"\n" + body)
        return body


def _changed(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return 0


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))
