"""The command `tunesmith api` in a process of its own, as a user starts it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tunesmith_library_testing.wire import Broken, ask

_ADDRESS = re.compile(r"https?://[\w.\[\]:]+:(\d+)")


class ServedCommand:
    """A server that answers; `stop` ends it, and so does leaving the block.

    Raises: AssertionError, with what it said, where it does not come up.
    """

    def __init__(
        self,
        words: Sequence[str],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        patience: float = 300.0,
    ) -> None:
        """
        Args:
            words: after `tunesmith api`; the port is chosen here.
            folder: for its log.
            environment: beside that of this process.
            patience: seconds until it must answer.
        """
        self.log = folder / "server.log"
        command = [sys.executable, "-m", "tunesmith", "api", *words, "--port", "0"]
        variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **(environment or {})}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=variables)
        try:
            self.port = self._come_up(time.monotonic() + patience)
        except BaseException:
            self.process.kill()
            raise

    def _come_up(self, deadline: float) -> int:
        while time.monotonic() < deadline and self.process.poll() is None:
            found = _ADDRESS.search(self.said())
            if found and asyncio.run(_healthy(int(found[1]))):
                return int(found[1])
            time.sleep(0.1)
        raise AssertionError(f"the server is not there: {self.said()[-3000:]}")

    def __enter__(self) -> ServedCommand:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def said(self) -> str:
        """All that it has written to the screen."""
        return self.log.read_text(errors="replace")

    def resident(self) -> float:
        """What it holds of memory, in MB."""
        with open(f"/proc/{self.process.pid}/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    def stop(self, number: int = signal.SIGTERM, patience: float = 60.0) -> int:
        """Tell it to end, and wait.

        Returns: its exit code.

        Raises: subprocess.TimeoutExpired.
        """
        self.process.send_signal(number)
        return self.process.wait(patience)


async def _healthy(port: int) -> bool:
    try:
        return (await ask(port, "/health", patience=10)).status == 200
    except (OSError, Broken, TimeoutError):
        return False


async def gauges(port: int, headers: Mapping[str, str] | None = None) -> dict[str, float]:
    """The figures of `/metrics` by name; those with labels are added up."""
    found: dict[str, float] = {}
    reply = await ask(port, "/metrics", headers=headers)
    assert reply.status == 200, reply.body
    for line in reply.body.decode().splitlines():
        if line and not line.startswith("#"):
            name, value = line.rpartition(" ")[::2]
            found[name.partition("{")[0]] = found.get(name.partition("{")[0], 0.0) + float(value)
    return found
