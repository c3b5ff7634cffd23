"""Short commands whose answer a page waits for, in a process of their own."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tunesmith import TunesmithError

from tunesmith_library_studio.jobs.starting import environment, words_of


def call(command: Sequence[str], root: Path, timeout: float = 60.0, text: str = "") -> str:
    """What a command of the program prints.

    Args:
        command: the arguments after `tunesmith`.
        root: the folder it runs in.
        timeout: seconds after which it, and what it started, is killed.
        text: what it reads from its standard input.

    Raises: TunesmithError with its own words where it fails, and where it takes too long.
    """
    with subprocess.Popen(
        words_of(command),
        cwd=root,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(text, timeout)
        except subprocess.TimeoutExpired as error:
            raise TunesmithError(
                f"tunesmith {command[0]} took longer than {timeout:g} s, and was ended.\n  start it as a job instead"
            ) from error
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        said = err.strip() or out.strip() or f"it ended with code {process.returncode}"
        raise TunesmithError(said.removeprefix("error: "))
    return out
