"""Jobs: processes of their own, found again by whoever comes later, queued by their devices."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from tunesmith import TunesmithError
from tunesmith_library_configuration.locks import locked
from tunesmith_library_studio import Studio, Workspace
from tunesmith_library_studio.devices import Busy
from tunesmith_library_studio.jobs import Job, NoSuchJob, refuse_outside, starting
from tunesmith_library_studio.jobs.calls import call
from tunesmith_library_studio.jobs.store import Store
from tunesmith_library_studio.workspace import OutsideWorkspace

SAVES = (
    "import signal,sys,time\n"
    "def end(*_): print('saved', flush=True); sys.exit(75)\n"
    "signal.signal(signal.SIGINT, end); print('begun', flush=True); time.sleep(30)"
)
DEAF = "import signal,time\nsignal.signal(signal.SIGINT, signal.SIG_IGN); print('begun', flush=True); time.sleep(30)"


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command is a Python script, which starts in no time."""
    monkeypatch.setattr(starting, "words_of", lambda command: [sys.executable, "-S", "-c", *command])


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    monkeypatch.setenv("PATH", "/nowhere")  # no nvidia-smi
    made = Studio(Workspace(Path("runs"), tmp_path))
    yield made
    for job in made.jobs.list():
        if job.owner and not job.elsewhere and not job.ended:
            os.killpg(job.owner.process, signal.SIGKILL)
    made.close()


def waited(studio: Studio, id: str, until: Callable[[Job], bool]) -> Job:
    """A job, once it is as it should be."""
    deadline = time.monotonic() + 10
    while not until(job := studio.jobs.get(id)):
        assert time.monotonic() < deadline, (job, studio.jobs.log(id))
        time.sleep(0.02)
    return job


def ended(job: Job) -> bool:
    return job.ended is not None


def says(studio: Studio, word: str) -> Callable[[Job], bool]:
    return lambda job: word in studio.jobs.log(job.id).text


def test_a_job_ends_and_a_newcomer_finds_it(studio: Studio, tmp_path: Path) -> None:
    script = "import os,sys; print('out'); print('err', file=sys.stderr); print(os.getcwd()); print(sys.stdin.read())"
    job = studio.jobs.start("data", [script], title="reads", queued=False, output=tmp_path / "x", tag="t")
    assert job.state in ("running", "done")
    done = waited(studio, job.id, ended)
    assert (done.state, done.code) == ("done", 0) and done.started and done.ended and done.started <= done.ended
    other = Studio(Workspace(Path("runs"), tmp_path))
    assert other.jobs.list() == [done] and other.jobs.list(tag="other") == []
    assert sorted(other.jobs.log(job.id).text.split()) == sorted(["out", "err", str(tmp_path)])
    other.close()


@pytest.mark.parametrize(
    ("script", "state", "code"),
    [
        ("raise SystemExit(2)", "failed", 2),
        ("raise SystemExit(75)", "stopped", 75),
        ("raise SystemExit(76)", "failed", 76),
        ("import os; os.kill(os.getpid(), 9)", "failed", -9),
    ],
)
def test_how_it_ended_is_told(studio: Studio, script: str, state: str, code: int) -> None:
    job = studio.jobs.start("train", [script], title="ends", queued=False)
    found = waited(studio, job.id, ended)
    assert (found.state, found.code) == (state, code)


@pytest.mark.parametrize(
    ("saves", "full", "state", "code"),
    [(True, True, "done", "log_full"), (False, True, "failed", None), (True, False, "failed", None)],
)
def test_a_run_whose_log_finds_a_full_disk_has_ended_as_its_result_says(
    studio: Studio, tmp_path: Path, saves: bool, full: bool, state: str, code: str | None
) -> None:
    """A command that cannot print its last line ends with an error. A limit of files' sizes stands for the disk."""
    folder = tmp_path / "runs/a"
    folder.mkdir(parents=True)
    save = [f"open({str(folder / name)!r}, 'w').close()" for name in ("adapter_config.json", "adapter_model.bin")]
    script = "\n".join([*(save if saves else ()), "print('x' * 100_000, flush=True)", "raise SystemExit(1)"])
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        if full:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, former[1]))
        job = studio.jobs.start("train", [script], title="a", run="a", output=folder, queued=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    found = waited(studio, job.id, ended)
    assert (found.state, found.code, found.reason.get("code")) == (state, 1, code), studio.jobs.log(job.id)


def test_stopped_once_it_saves_and_twice_it_is_killed(studio: Studio) -> None:
    saves = studio.jobs.start("train", [SAVES], title="saves", queued=False, run="a")
    waited(studio, saves.id, says(studio, "begun"))
    studio.jobs.stop(saves.id)
    found = waited(studio, saves.id, ended)
    assert (found.state, found.code, found.is_resumable) == ("stopped", 75, True)
    assert "saved" in studio.jobs.log(saves.id).text
    deaf = studio.jobs.start("train", [DEAF], title="deaf", queued=False)
    waited(studio, deaf.id, says(studio, "begun"))
    assert studio.jobs.stop(deaf.id).state == "stopping"
    studio.jobs.stop(deaf.id)
    assert waited(studio, deaf.id, ended).state == "stopped"


def test_signals_are_as_a_terminal_has_them(studio: Studio) -> None:
    """Also where what started the server had them ignored, as `nohup … &` does."""
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        script = "import signal; print([signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)])"
        job = studio.jobs.start("x", [script], title="asks", queued=False)
    finally:
        signal.signal(signal.SIGINT, former)
    waited(studio, job.id, ended)
    assert "default_int_handler" in studio.jobs.log(job.id).text and "SIG_DFL" in studio.jobs.log(job.id).text


def test_a_keeper_that_is_killed_is_told_of(studio: Studio) -> None:
    """The job goes on; how it ends nobody sees, and that is said."""
    job = studio.jobs.start("x", [DEAF], title="deaf", queued=False)
    waited(studio, job.id, says(studio, "begun"))
    process, _, keeper, _ = (job.log.parent / "process").read_text().split()
    os.kill(int(keeper), signal.SIGKILL)
    assert studio.jobs.get(job.id).state == "running"
    os.kill(int(process), signal.SIGKILL)
    found = waited(studio, job.id, ended)
    assert found.state == "failed" and found.code is None and "without a word" in found.why


def test_a_number_that_comes_again_is_not_the_job(studio: Studio) -> None:
    job = studio.jobs.start("x", [DEAF], title="deaf", queued=False)
    waited(studio, job.id, says(studio, "begun"))
    numbers = job.log.parent / "process"
    whole = numbers.read_text()
    numbers.write_text(f"{os.getpid()} 1 {os.getpid()} 1")  # this very process, but one that was started earlier
    assert studio.jobs.get(job.id).state == "failed"
    numbers.write_text(whole)


def test_the_keeper_is_small(studio: Studio) -> None:
    job = studio.jobs.start("x", [DEAF], title="deaf", queued=False)
    keeper = (job.log.parent / "process").read_text().split()[2]
    told = Path(f"/proc/{keeper}/status").read_text()
    kilobytes = int(next(line for line in told.splitlines() if line.startswith("RssAnon")).split()[1])
    assert kilobytes < 10_000
    assert os.getsid(int(keeper)) != os.getsid(0)


def test_one_at_a_time_in_order_and_more_as_the_user_says(studio: Studio) -> None:
    first = studio.jobs.start("train", [DEAF], title="first")
    second = studio.jobs.start("train", ["pass"], title="second")
    third = studio.jobs.start("train", ["pass"], title="third", after=[second.id])
    waited(studio, first.id, lambda job: job.state == "running")
    waited(studio, second.id, lambda job: "the processor" in job.why)
    studio.jobs.move(third.id, before=second.id)
    assert studio.jobs.get(third.id).place < studio.jobs.get(second.id).place
    studio.jobs.rule(cpu_jobs=2)
    done = [waited(studio, id, ended) for id in (second.id, third.id)]
    assert [job.state for job in done] == ["done", "done"] and (done[0].ended or 0) <= (done[1].started or 0)
    with pytest.raises(TunesmithError, match="waits no more"):
        studio.jobs.move(third.id)


def test_what_comes_after_a_failure_fails_with_words(studio: Studio) -> None:
    first = studio.jobs.start("train", ["raise SystemExit(2)"], title="first")
    second = studio.jobs.start("eval", ["pass"], title="second", after=[first.id])
    found = waited(studio, second.id, ended)
    assert (found.state, found.started) == ("failed", None) and "first failed" in found.why
    assert found.reason == {"code": "missed", "title": "first", "state": "failed"}


def test_a_paused_queue_starts_nothing_and_jobs_are_removed(studio: Studio) -> None:
    studio.jobs.rule(paused=True)
    jobs = [studio.jobs.start("train", ["pass"], title=title, tag="sweep") for title in "abc"]
    waited(studio, jobs[2].id, lambda job: job.reason == {"code": "paused"} and "paused" in job.why)
    assert [job.title for job in studio.jobs.list(tag="sweep")] == ["c", "b", "a"]
    assert waited(studio, studio.jobs.start("x", ["pass"], title="now", queued=False).id, ended).state == "done"
    assert studio.jobs.stop(jobs[0].id).state == "stopped"
    studio.jobs.remove(jobs[1].id)
    with pytest.raises(NoSuchJob, match=jobs[1].id):
        studio.jobs.get(jobs[1].id)
    studio.jobs.rule(paused=False)
    waited(studio, jobs[2].id, ended)
    assert studio.jobs.clear() == 3 and studio.jobs.list() == []


def test_two_servers_start_a_job_once(studio: Studio, tmp_path: Path) -> None:
    others = [Studio(Workspace(Path("runs"), tmp_path)) for _ in range(3)]
    for other in others:
        other.begin()
    script = f"open({str(tmp_path / 'began')!r}, 'a').write('x')"
    jobs = [studio.jobs.start("x", [script], title="once", devices=["none"]) for _ in range(5)]
    for job in jobs:
        waited(studio, job.id, ended)
    assert (tmp_path / "began").read_text() == "x" * 5
    for other in others:
        other.close()


def test_begun_again_and_resumed(studio: Studio, tmp_path: Path) -> None:
    failed = waited(studio, studio.jobs.start("x", ["raise SystemExit(1)"], title="a", queued=False).id, ended)
    again = studio.jobs.resume(failed.id)
    assert again.command == failed.command and again.id != failed.id
    run = tmp_path / "runs" / "group" / "a"
    run.mkdir(parents=True)
    (run / "run.yaml").write_text("{}")
    resumed = studio.jobs.resume_run("group/a", env={"A": "1"})
    assert resumed.command == ["train", "runs/group/a/run.yaml", "resume=true", "output_dir=runs/group/a"]
    waited(studio, resumed.id, ended)  # a script of that name fails at once
    studio.jobs.rule(paused=True)
    studio.jobs.resume_run("group/a")
    with pytest.raises(TunesmithError, match="already"):
        studio.jobs.resume_run("group/a")
    with pytest.raises(TunesmithError, match="no run"):
        studio.jobs.resume_run("group/b")
    done = tmp_path / "runs" / "done"
    done.mkdir()
    (done / "run.yaml").write_text("{}")
    (done / "run.json").write_text('{"status": "finished"}')
    with pytest.raises(TunesmithError, match="nothing to go on with"):
        studio.jobs.resume_run("done")
    os.utime(done / "run.json", (1, 1))  # of a start before the newest one, which told nothing yet
    assert studio.jobs.resume_run("done").state == "queued"
    with pytest.raises(OutsideWorkspace):
        studio.jobs.resume_run("../../../etc")


def test_of_two_who_resume_at_once_the_second_is_told(studio: Studio, tmp_path: Path) -> None:
    studio.jobs.rule(paused=True)
    folder = tmp_path / "runs/a"
    folder.mkdir(parents=True)
    (folder / "run.yaml").write_text("seed: 1\n")

    def resume(_: int) -> str:
        try:
            return studio.jobs.resume_run("a").state
        except TunesmithError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        told = sorted(pool.map(resume, range(4)))
    assert told == [*["a is at work, or waits for it, already"] * 3, "queued"] and len(studio.jobs.list()) == 1


def test_jobs_of_a_run_know_its_new_name(studio: Studio, tmp_path: Path) -> None:
    job = studio.jobs.start("train", ["raise SystemExit(75)"], title="x", run="a", queued=False)
    before = waited(studio, job.id, ended)
    studio.jobs.run_renamed("a", "b/c")
    for jobs in (studio.jobs, Studio(Workspace(Path("runs"), tmp_path)).jobs):
        assert jobs.get(job.id) == dataclasses.replace(before, run="b/c")
        assert jobs.of_run("a") is None
        jobs.close()


def test_the_processor_is_as_busy_as_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    looks = [SimpleNamespace(idle=idle, all=every) for idle, every in ((60.0, 100.0), (65.0, 110.0), (65.0, 110.0))]
    times = namedtuple("times", "user idle")
    monkeypatch.setattr(psutil, "cpu_times", lambda: times(looks[0].all - looks[0].idle, looks.pop(0).idle))
    busy = Busy()
    assert [busy.share(), busy.share(), busy.share()] == [None, 0.5, 0.5]


def test_a_run_that_is_no_job_is_seen_and_stopped(studio: Studio, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "by hand"
    program = (
        "import sys, time; from pathlib import Path; from tunesmith_library_configuration.locks import locked\n"
        "folder = Path(sys.argv[1])\n"
        "with locked(folder / 'run.lock', folder, 'training'): time.sleep(20)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(run)], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 10
        while not (run / "run.lock").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        (found,) = studio.jobs.list()
        assert (found.id, found.elsewhere, found.state) == ("run:by hand", True, "running")
        assert found.owner and found.owner.process == process.pid
        studio.jobs.stop("run:by hand")
        process.wait(10)
    assert studio.jobs.list() == []
    with locked(run / "run.lock", run, "training"):
        assert studio.jobs.get("run:by hand").title == "by hand"


def test_devices_of_a_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake driver with two GPUs: two jobs run beside each other, a third one waits."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    rows = "0, GPU-a, NVIDIA H200, 143771, 1000, 37, 41, 120.5\n1, GPU-b, NVIDIA H200, 143771, 10, 0, [N/A], [N/A]\n"
    program.write_text(f"#!/bin/sh\nprintf '{rows}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/bin:/usr/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    studio = Studio(Workspace(Path("runs"), tmp_path))
    first, second, cpu = studio.devices.now()
    assert (first.id, first.memory, first.utilisation, second.temperature) == ("0", 143771 * 2**20, 0.37, None)
    assert cpu.id == "cpu" and cpu.memory
    script = "import os,time; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); time.sleep(20)"
    jobs = [studio.jobs.start("train", [script], title=str(number)) for number in range(3)]
    try:
        for job, gpu in zip(jobs, "10", strict=False):
            waited(studio, job.id, says(studio, gpu))
        waits = waited(studio, jobs[2].id, lambda job: "waits for a GPU" in job.why)
        assert waits.reason == {"code": "waits", "devices": ["any"]}
        lost = studio.jobs.start("train", ["pass"], title="lost", devices=["7"])
        assert "no GPU 7" in waited(studio, lost.id, ended).why
        many = studio.jobs.start("train", ["pass"], title="many", devices=["any"] * 3)
        assert "there are 2" in waited(studio, many.id, ended).why
    finally:
        for job in jobs:
            studio.jobs.stop(job.id)
            waited(studio, job.id, ended)
        studio.close()


def test_thousands_are_listed_quickly(tmp_path: Path) -> None:
    store = Store(tmp_path / "jobs")
    for number in range(1500):
        folder = store.folder / f"20260101-000000-{number:06d}"
        folder.mkdir(parents=True)
        kept = {"id": folder.name, "kind": "train", "title": "x", "command": [], "run": None, "created": 1.0}
        kept |= {"started": 1.0, "root": "/", "output": None, "machine": {"host": "", "place": "", "boot": ""}}
        (folder / "job.json").write_text(json.dumps(kept))
        (folder / "code").write_text("0 2.0")
    store.all()
    began = time.process_time()
    assert len(store.all()) == 1500
    assert time.process_time() - began < 0.5


def test_words_of_a_call_and_of_its_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith_library_studio.jobs.calls.words_of", starting.words_of)
    assert call(["print(input())"], tmp_path, text="hé") == "hé\n"
    with pytest.raises(TunesmithError, match=r"^no such thing$"):
        call(["import sys; sys.exit('error: no such thing')"], tmp_path)
    began = time.monotonic()
    with pytest.raises(TunesmithError, match="longer than"):
        call(["import time; time.sleep(20)"], tmp_path, timeout=0.2)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "word",
    [
        *("/etc/x", "output_dir=/etc", "data.train=[a,/etc/passwd]", "a/../../b", "~/x", "{path: /etc}"),
        *("-o/etc/x", "-qo/etc/x", "-o../x", "-o~/x", "-oa/../../x", "--output=/etc/x", "x=file:///etc/passwd"),
        *('data.train=[{"path":/etc/passwd}]', 'model.path="\\x2fetc/passwd"', "a=[b, c:\n - /etc]"),
    ],
)
def test_words_that_lead_outside_are_refused(word: str, tmp_path: Path) -> None:
    with pytest.raises(OutsideWorkspace):
        refuse_outside(["train", word], Workspace(Path("runs"), tmp_path))


def test_words_that_are_well(tmp_path: Path) -> None:
    workspace = Workspace(Path("runs"), tmp_path)
    words = ["a.yaml", "model.path=Qwen/Qwen3-4B", f"output_dir={tmp_path}/runs/a", f"-o{tmp_path}/b"]
    refuse_outside(["train", *words, "adapter.target_modules=.*/up|[a-z]+", "x=https://hf.co/a"], workspace)
    with pytest.raises(TunesmithError, match="no command of a job"):
        refuse_outside(["api"], workspace)


def test_what_changes_is_told(studio: Studio) -> None:
    everything = studio.jobs.watcher()
    assert everything.first()[0].data == []
    job = studio.jobs.start("train", ["print('one', flush=True)"], title="tells", devices=["none"])
    one = studio.jobs.watcher(job.id)
    first = one.first()
    assert [message.type for message in first] == ["job", "log"] and first[0].topic == f"job:{job.id}"
    waited(studio, job.id, ended)
    told = {message.type: message.data for message in everything.changes()}
    assert told["job"]["state"] == "done" and everything.changes() == []
    assert "one" in first[1].data["text"] + "".join(each.data["text"] for each in one.changes() if each.type == "log")
    studio.jobs.remove(job.id)
    assert [(message.type, message.data) for message in everything.changes()] == [("removed", job.id)]
    with pytest.raises(NoSuchJob):
        studio.jobs.watcher("none")
