"""The server ends when it is told to, also while a request's thread computes without end."""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tunesmith_command_webui.ending import Ending

_PROGRAM = """
import sys, time
from pathlib import Path
from fastapi.routing import APIRoute
from tunesmith.cli.running import run
from tunesmith_command_webui import ending, server
from tunesmith_library_studio import Studio

made, close = server.make_app, Studio.close

def stuck():
    Path("stuck").touch()
    time.sleep(600)

def with_stuck(studio, options):
    app = made(studio, options)
    app.router.routes.insert(0, APIRoute("/api/stuck", stuck))
    return app

server.make_app, ending._GRACE = with_stuck, 0.3
Studio.close = lambda self: (close(self), Path("closed").touch())
sys.exit(run(["webui", "--no-open", "--port", "0"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_request_without_end_does_not_keep_the_server(tmp_path: Path) -> None:
    command = [sys.executable, "-u", "-c", _PROGRAM]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            port = re.search(r":(\d+)\s*$", process.stdout.readline())
            assert port, process.stdout.read()
            connection = http.client.HTTPConnection("127.0.0.1", int(port[1]), timeout=30)
            connection.request("GET", "/api/stuck")
            deadline = time.monotonic() + 30
            while not (tmp_path / "stuck").exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 128 + signal.SIGTERM and (tmp_path / "closed").exists()
            connection.close()
        finally:
            process.kill()


def test_it_closes_once() -> None:
    """Who comes second waits for the first: nothing is left behind when it returns."""
    closed: list[int] = []

    def close() -> None:
        time.sleep(0.1)
        closed.append(1)

    ending = Ending(close)
    threads = [threading.Thread(target=ending.close) for _ in range(3)]
    for thread in threads:
        thread.start()
    ending.close()
    assert closed == [1]
    for thread in threads:
        thread.join()
    assert closed == [1]
