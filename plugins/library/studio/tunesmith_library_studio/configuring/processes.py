"""Processes in which plugins are imported: started when they are needed, ended when they are not, never trusted."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from tunesmith import TunesmithError

from tunesmith_library_studio.workspace import Workspace

_REST = 300.0  # seconds without a request after which a process ends
_LONGEST = 180.0  # seconds of one request


class Outdated(TunesmithError):
    """The one who asked has asked for something newer."""


class Process:
    """One process, which does one thing at a time."""

    def __init__(self, workspace: Workspace, name: str, environment: Callable[[], Any], rest: float = _REST) -> None:
        self._workspace, self._name, self._environment, self._rest = workspace, name, environment, rest
        self._process: subprocess.Popen[str] | None = None
        self._made_in: Any = None  # what was installed when it was started
        self._lock = threading.Lock()
        self._newest: dict[str, int] = {}  # by client, the number of what it asked last
        self._served = ""  # the client whose request is under way
        self._timer: threading.Timer | None = None

    def ask(self, do: str, client: str = "", **what: Any) -> Any:
        """Have something done, and wait for the answer.

        Args:
            client: who asks; a request that waits is dropped when the same one asks for something else.

        Raises: TunesmithError in the process's words; Outdated.
        """
        number = self._newest[client] = self._newest.get(client, 0) + 1
        with self._lock:
            if client and self._newest[client] != number:
                raise Outdated("something newer was asked for")
            self._served = client
            told = self._told(json.dumps({"do": do, **what}, ensure_ascii=False))
            self._served = ""
            self._rest_later()
            if client and self._newest[client] != number:
                raise Outdated("something newer was asked for")
        if "error" in told:
            raise TunesmithError(told["error"])
        return told["answer"]

    def drop(self, client: str) -> None:
        """Give up what a client asked for, also what is under way: its answer is Outdated."""
        if client in self._newest:
            self._newest[client] += 1
        process = self._process
        if client and self._served == client and process is not None:
            process.kill()

    def warm(self) -> None:
        """Start the process, so that the next request finds it there."""
        with self._lock:
            self._ready()
            self._rest_later()

    def settle(self) -> None:
        """Take what is installed now for what the process was started in."""
        self._made_in = self._environment()

    def close(self) -> None:
        """End the process; the next request starts another."""
        with self._lock:
            self._end()

    def _told(self, request: str) -> dict[str, Any]:
        process = self._ready()
        assert process.stdin is not None and process.stdout is not None
        watch = threading.Timer(_LONGEST, process.kill)
        watch.start()
        try:
            process.stdin.write(request + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watch.cancel()
        if not line:
            self._end()
            return {"error": f"the process that imports plugins ended.\nits log: {self._log}"}
        told: dict[str, Any] = json.loads(line)
        return told

    @property
    def _log(self) -> Any:
        return self._workspace.state / f"{self._name}.log"

    def _ready(self) -> subprocess.Popen[str]:
        now = self._environment()
        if self._process is not None and (self._process.poll() is not None or now != self._made_in):
            self._end()
        if self._process is None:
            folders = [self._workspace.runs, *self._workspace.folders[:1], *self._workspace.folders[2:]]
            words = [sys.executable, "-P", "-m", "tunesmith_library_studio.configuring.worker", *map(str, folders)]
            with self._log.open("w", encoding="utf-8") as log:
                self._process = subprocess.Popen(
                    words,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    cwd=self._workspace.root,
                    encoding="utf-8",
                    start_new_session=True,  # Ctrl-C is for the front end, which ends this one in order
                )
            self._made_in = now
        return self._process

    def _rest_later(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = threading.Timer(self._rest, self.close)
        self._timer.daemon = True
        self._timer.start()

    def _end(self) -> None:
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process.kill()
            self._process.wait()
        self._process = None
