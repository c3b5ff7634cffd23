"""A launcher: the processes of a run, started on this machine one after the other."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from typing import Annotated

from tunesmith import hookimpl, plugin
from tunesmith.errors import RESUMABLE
from tunesmith.ranges import at_least


@plugin
class Placeholder:
    """Starts processes on this machine, and ends them together."""

    processes: Annotated[int, at_least(1, most=1_024)] = 2  # how many

    @hookimpl
    def launch(self, command: Sequence[str]) -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        workers = [subprocess.Popen(command, env=self._environment(rank, port)) for rank in range(self.processes)]
        former = signal.signal(signal.SIGINT, lambda *_: None)  # a Ctrl-C reaches the workers, which save and end
        try:
            codes: list[int | None] = [None]
            while None in codes and set(codes) <= {None, 0, RESUMABLE}:
                time.sleep(0.05)
                codes = [worker.poll() for worker in workers]
            return max((code for code in codes if code), key=lambda code: code != RESUMABLE, default=0)
        finally:
            signal.signal(signal.SIGINT, former)
            for worker in workers:
                worker.kill()
                worker.wait()

    def _environment(self, rank: int, port: int) -> dict[str, str]:
        """What torch.distributed reads, beside what is there."""
        own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": self.processes}
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        return {**os.environ, **{name: str(value) for name, value in {**own, **place}.items()}}
