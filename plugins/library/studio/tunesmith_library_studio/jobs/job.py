"""One job as its folder tells of it.

FOLDER/job.json   what was asked, where it waits, and when it was started
FOLDER/process    who it is, written by its keeper
FOLDER/code       how it ended, likewise: the exit code, when, and `full` where the disk took no more
FOLDER/stops      when it was asked to stop, a line each
FOLDER/log        what it says
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tunesmith_library_configuration.files import replacing
from tunesmith_library_configuration.owners import Owner

from tunesmith_library_studio.jobs.reasons import Reason, in_words, reason
from tunesmith_library_studio.jobs.results import has_result

State = Literal["queued", "running", "stopping", "done", "failed", "stopped"]
ACTIVE: tuple[State, ...] = ("running", "stopping")
ENDED: tuple[State, ...] = ("done", "failed", "stopped")

_RESUMABLE, _NOT_FINITE = 75, 76  # exit codes of `tunesmith`
_BY_SIGNAL = 128  # from here on, with the signal's number added
_SLOW_START = 30.0  # seconds after which a job whose keeper never wrote was killed before it began


@dataclass(frozen=True, kw_only=True)
class Job:
    """A command, and what became of it. Times are seconds since 1970."""

    id: str
    kind: str  # train, export, eval, predict, data …
    title: str
    command: list[str]  # the arguments after `tunesmith`
    root: Path  # the folder in which it runs
    run: str | None = None  # the run that it makes or is about, relative to the runs folder
    wanted: list[str] = field(default_factory=list)  # devices: numbers of GPUs, "any", "cpu", "none"
    devices: list[str] = field(default_factory=list)  # those that it was given
    queued: bool = True  # whether it waits until they are free
    env: dict[str, str] = field(default_factory=dict)  # further variables of its environment; no secrets
    output: Path | None = None  # the file or folder that it writes
    tag: str = ""  # what it has in common with others, such as those of a sweep
    after: list[str] = field(default_factory=list)  # jobs that must be done before it starts
    place: float = 0.0  # its place in the queue; the lowest is next
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    code: int | None = None  # exit code, below 0 the number of the signal that ended it
    why: str = ""  # it waits, or failed, where no log tells; in English
    reason: Reason = field(default_factory=dict)  # the same by its code; empty where it is an error's words
    state: State = "queued"
    owner: Owner | None = None  # its process
    log: Path = Path()
    elsewhere: bool = False  # a run that was not started as a job, seen by its lock

    @property
    def is_resumable(self) -> bool:
        """Whether its run can go on where it was."""
        has_begun = self.started is not None and self.state in ("stopped", "failed")
        return has_begun and self.kind == "train" and bool(self.run)

    def because(self, given: Reason) -> Job:
        """It with a reason why it waits or failed."""
        return dataclasses.replace(self, why=in_words(given), reason=given)

    def told(self) -> dict[str, Any]:
        """It as JSON has it."""
        told = dataclasses.asdict(self) | {"log": str(self.log), "root": str(self.root)}
        told |= {"output": str(self.output) if self.output else None, "resumable": self.is_resumable}
        told |= {"host": self.owner.host if self.owner else None, "process": self.owner.process if self.owner else None}
        del told["owner"], told["env"]
        return told


_KEPT = ("id", "kind", "title", "command", "run", "wanted", "devices", "queued", "env", "tag", "after", "place")
_KEPT_TOO = ("created", "started", "ended", "why", "reason")


def written(folder: Path, job: Job, here: Owner) -> None:
    """Write down what does not come from its keeper.

    Args:
        here: a process of the machine that it runs on.
    """
    kept = {name: getattr(job, name) for name in (*_KEPT, *_KEPT_TOO)}
    kept |= {"root": str(job.root), "output": str(job.output) if job.output else None}
    kept["machine"] = {"host": here.host, "place": here.place, "boot": here.boot}
    with replacing(folder / "job.json") as draft:
        draft.touch(0o600)
        draft.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")


def read(folder: Path) -> Job | None:
    """The job of a folder, as it is now; None where there is none, such as one that is being deleted."""
    try:
        kept: dict[str, Any] = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        machine = kept.pop("machine")
        kept |= {"root": Path(kept["root"]), "output": Path(kept["output"]) if kept["output"] else None}
        job = Job(**kept, log=folder / "log")
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if job.ended is not None:  # it never began
        return dataclasses.replace(job, state="stopped" if not job.why else "failed")
    if job.started is None:
        return job
    return _with_end(_with_process(job, folder, machine), folder, machine)


def _with_process(job: Job, folder: Path, machine: Mapping[str, str]) -> Job:
    try:
        process, started, *_ = (folder / "process").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return job
    return dataclasses.replace(job, owner=_owner(process, started, machine))


def _with_end(job: Job, folder: Path, machine: Mapping[str, str]) -> Job:
    asked = (folder / "stops").exists()
    keeper = _keeper(folder, machine)
    is_late = time.time() - (job.started or 0.0) > _SLOW_START
    is_lost = is_late if keeper is None else keeper.is_dead and (job.owner is None or job.owner.is_dead)
    try:  # after the look at the processes: what has ended by then has told so
        code, ended, *marks = (folder / "code").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        if is_lost:
            state: State = "stopped" if asked else "failed"
            return dataclasses.replace(job, state=state, ended=_last_word(folder)).because(reason("lost"))
        return dataclasses.replace(job, state="stopping" if asked else "running")
    return _ended(dataclasses.replace(job, code=int(code), ended=float(ended)), asked, "full" in marks)


def _ended(job: Job, asked: bool, was_full: bool) -> Job:
    """A job with its exit code, with what that means. A command fails that cannot print its last line: of a run whose
    disk was full its result tells."""
    code, folder = job.code or 0, job.output if job.kind == "train" else None
    if code == 0:
        return dataclasses.replace(job, state="done")
    if code == _RESUMABLE or (asked and not 0 < code < _BY_SIGNAL):
        return dataclasses.replace(job, state="stopped")
    if was_full and code > 0 and folder and has_result(folder, job.started or 0.0):
        return dataclasses.replace(job, state="done").because(reason("log_full"))
    failed = dataclasses.replace(job, state="failed")
    return failed.because(reason("not_finite")) if code == _NOT_FINITE else failed


def _keeper(folder: Path, machine: Mapping[str, str]) -> Owner | None:
    try:
        *_, process, started = (folder / "process").read_text(encoding="utf-8").split()
        return _owner(process, started, machine)
    except (OSError, ValueError):
        return None


def _owner(process: str, started: str, machine: Mapping[str, str]) -> Owner:
    return Owner(machine["host"], machine["place"], machine["boot"], int(process), "" if started == "0" else started)


def _last_word(folder: Path) -> float | None:
    """When a lost job said something last."""
    try:
        return (folder / "log").stat().st_mtime
    except OSError:
        return None
