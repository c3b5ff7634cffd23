"""The folder of all jobs: read quickly although there may be thousands, changed by one process at a time."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

from tunesmith_library_configuration.files import replacing
from tunesmith_library_configuration.locks import locked
from tunesmith_library_configuration.owners import this_process

from tunesmith_library_studio.jobs.job import ENDED, Job, read, written
from tunesmith_library_studio.jobs.scheduling import Rules

_PATIENCE = 20.0  # seconds to wait for another server that changes something


class Store:
    """Jobs by their folders; those that have ended change no more, and are read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ended: dict[str, Job] = {}
        self._mine = threading.RLock()

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Have the jobs for oneself, among the threads of this process and all others.

        Raises: ConfigError where another process has them for too long.
        """
        with self._mine, locked(self.folder / ".lock", self.folder, "a change of jobs", _PATIENCE):
            yield

    def all(self) -> list[Job]:
        """All jobs as they are now, the oldest first."""
        try:
            names = sorted(entry.name for entry in os.scandir(self.folder) if not entry.name.startswith("."))
        except FileNotFoundError:
            return []
        found = [job for name in names if (job := self.get(name)) is not None]
        self._ended = {job.id: job for job in found if job.state in ENDED}
        return found

    def get(self, id: str) -> Job | None:
        """A job as it is now."""
        if id in self._ended and (self.folder / id).is_dir():
            return self._ended[id]
        if not id or id.startswith(".") or "/" in id or os.sep in id:
            return None
        return read(self.folder / id)

    def add(self, job: Job) -> Job:
        """Keep a new job; it gets its id."""
        self.folder.mkdir(parents=True, exist_ok=True)
        while True:
            id = f"{datetime.now():%Y%m%d-%H%M%S-%f}"  # in this order they are listed
            with contextlib.suppress(FileExistsError):
                (self.folder / id).mkdir(mode=0o700)
                break
        made = replace(job, id=id, log=self.folder / id / "log")
        self.keep(made)
        return made

    def keep(self, job: Job) -> None:
        """Write down what became of a job."""
        written(self.folder / job.id, job, this_process())

    def rename_run(self, run: str, to: str) -> None:
        """Have the jobs of a run know its new name; how each ended is left as it is written."""
        for job in self.all():
            if job.run == run:
                file = self.folder / job.id / "job.json"
                told = json.loads(file.read_text(encoding="utf-8")) | {"run": to}
                with replacing(file) as draft:
                    draft.touch(0o600)
                    draft.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
                self._ended.pop(job.id, None)

    def ask_to_stop(self, job: Job) -> int:
        """Note that a job was asked to stop; the count of times that it was, this one included."""
        file = self.folder / job.id / "stops"
        with file.open("a", encoding="utf-8") as stops:
            stops.write(f"{time.time():.3f}\n")
        return len(file.read_text(encoding="utf-8").splitlines())

    def remove(self, id: str) -> None:
        """Forget a job, its log included."""
        gone = self.folder / f".gone-{id}"
        (self.folder / id).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        self._ended.pop(id, None)

    @property
    def rules(self) -> Rules:
        """What the user says of the queue."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            return Rules(**json.loads((self.folder / ".rules.json").read_text(encoding="utf-8")))
        return Rules()

    @rules.setter
    def rules(self, rules: Rules) -> None:
        with replacing(self.folder / ".rules.json") as draft:
            draft.write_text(json.dumps(asdict(rules)), encoding="utf-8")
