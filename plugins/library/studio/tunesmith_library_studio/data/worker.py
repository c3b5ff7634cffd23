"""A process for what needs tokenizers, Arrow or the linter; it is kept for a while, for its imports take seconds."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from tunesmith import TunesmithError

_IDLE = 120.0  # seconds after which it ends
_COMMAND = ("-m", "tunesmith", "data", "answer")


class Worker:
    """One process that answers one request at a time; it starts with the first, and ends when nobody asks.

    Args:
        folder: where relative paths start.
        idle: seconds after an answer in which it waits for another request.
    """

    def __init__(self, folder: Path, idle: float = _IDLE) -> None:
        self._folder, self._idle = folder, idle
        self._asking = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()
        self._log: IO[str] | None = None
        self._ending: threading.Timer | None = None

    def ask(self, what: str, timeout: float = 600.0, **given: Any) -> dict[str, Any]:
        """Have something done, see `tunesmith data answer`.

        Returns: `result`, and in `notes` what was announced and warned of.
        Raises: TunesmithError with what the process says is wrong, when it ends, or takes too long: then it is ended.
        """
        with self._asking:
            if self._ending:
                self._ending.cancel()
            process = self._running()
            assert process.stdin
            try:
                process.stdin.write(json.dumps({"do": what, **given}) + "\n")
                process.stdin.flush()
                line = self._answers.get(timeout=timeout)
            except (OSError, queue.Empty):
                line = ""
            if not line:
                said = self._last_words()
                self._end()
                raise TunesmithError(f"{what}: no answer within {timeout:.0f} s, or the process ended\n{said}")
            self._ending = threading.Timer(self._idle, self.close)
            self._ending.daemon = True
            self._ending.start()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise TunesmithError(answer["error"])
        return answer

    def close(self) -> None:
        """End the process, unless it is at work."""
        if self._asking.acquire(blocking=False):
            try:
                self._end()
            finally:
                self._asking.release()

    def kill(self) -> None:
        """End the process, whatever it does."""
        if self._ending:
            self._ending.cancel()
        if self._process:
            self._process.kill()

    @property
    def runs(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.poll() is None

    def _running(self) -> subprocess.Popen[str]:
        if self._process and self._process.poll() is None:
            return self._process
        self._end()
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - as long as the process
        self._process = subprocess.Popen(
            [sys.executable, *_COMMAND],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
            cwd=self._folder,
        )
        self._answers = queue.Queue()
        threading.Thread(target=_pass_on, args=(self._process, self._answers.put), daemon=True).start()
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    stream.close()  # type: ignore[union-attr]
        if self._log:
            self._log.close()
            self._log = None

    def _last_words(self) -> str:
        if not self._log:
            return ""
        self._log.seek(0)
        return self._log.read()[-1000:].strip()


def _pass_on(process: subprocess.Popen[str], put: Callable[[str], None]) -> None:
    assert process.stdout
    with contextlib.suppress(ValueError, OSError):
        for line in process.stdout:
            put(line)
    put("")
