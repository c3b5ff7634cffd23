"""Kill runs at random moments, start them again as a user would, and compare what they end with.

    python tests/killing.py CASE MODEL FOLDER COUNT SEED

prints a JSON object for each kill. Every run is forked from this process, which has imported everything already, so
that a kill costs a second and not ten.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import tunesmith
import yaml

CASES = ("sft", "dpo", "ppo", "grpo", "export", "encoding")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
PATIENCE = 240.0  # seconds after which a process that was told to end hangs
_ROWS = 3000  # of the encoded data set
_IMPORTED = (
    *("peft", "datasets", "transformers.models.llama.modeling_llama", "tunesmith_data_datasets.caching"),
    *("tunesmith_trainer_transformers.fitting", "tunesmith_stage_ppo.loop", "tunesmith_library_proving.merging"),
)
"""What the runs import, which takes most of their time."""


@dataclass(frozen=True)
class Kill:
    """What came of one."""

    case: str
    signal: str
    after: float  # seconds
    codes: tuple[int, ...]  # exit codes of the killed run and of those that went on
    identical: bool
    left: tuple[str, ...]  # what no finished run leaves
    tracebacks: int
    hung: bool


@dataclass(frozen=True)
class Work:
    """A command, how it is given again after it was killed, and what it ends with."""

    words: Callable[[Path], Sequence[str]]  # for a folder of its own
    again: Callable[[Path], Sequence[str]]
    result: Callable[[Path], dict[str, str]]


def work_of(case: str, model: Path, folder: Path) -> Work:
    """What is killed.

    Args:
        folder: for what all runs of the case share.
    """
    from short_runs import config_of

    stage = "sft" if case in ("export", "encoding") else case
    config = config_of(stage, model, folder / "data")
    config["model"] = {"path": config.pop("model.path")}
    if case == "encoding":
        rows = [{"instruction": f"Say {n}.", "output": f"The tide turns {n} times. " * 20} for n in range(_ROWS)]
        (folder / "data" / "train.json").write_text(json.dumps(rows))
        config["trainer"] |= {"max_steps": 1, "save_steps": 1}
        config["data"] |= {"cache": True, "num_proc": 2, "batch_size": 100}
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    if case == "export":
        run = folder / "run"
        if not (run / "adapter_config.json").is_file():
            assert Command(["train", str(file), f"output_dir={run}"], folder / "log").wait() == 0

        def export(place: Path) -> list[str]:
            return ["export", str(run), "--output", str(place / "export")]

        return Work(export, export, lambda place: digests(place / "export"))

    def train(place: Path) -> list[str]:
        cache = [f"data.cache_dir={place / 'cache'}"] if case == "encoding" else []
        return ["train", str(file), f"output_dir={place / 'run'}", *cache]

    def resume(place: Path) -> list[str]:
        return [*train(place), *(["resume=true"] if (place / "run" / "run.yaml").is_file() else [])]

    def result(place: Path) -> dict[str, str]:
        weights = digests(place / "run", "*.safetensors")
        return weights | (digests(place / "cache", "*/data.arrow") if case == "encoding" else {})

    return Work(train, resume, result)


def digests(folder: Path, pattern: str = "*") -> dict[str, str]:
    """The files of a folder by name, as digests."""
    files = sorted(file for file in folder.glob(pattern) if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


class Command:
    """A command line in a forked process, whose output goes to a file."""

    def __init__(self, words: Sequence[str], log: Path) -> None:
        self.process = os.fork()
        if self.process == 0:
            self._run(words, log)

    @staticmethod
    def _run(words: Sequence[str], log: Path) -> None:
        code = 1
        try:
            os.setsid()
            signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell may have had ignored
            descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            from tunesmith.cli.running import run

            code = run(words)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def send(self, number: int) -> None:
        os.kill(self.process, number)

    def wait(self, patience: float = PATIENCE) -> int | None:
        """Its exit code, negative for a signal; None when it did not end in time, and was killed with its children."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            found, status = os.waitpid(self.process, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        os.killpg(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        return None


def left_over(place: Path) -> list[str]:
    """Locks and half-written folders; the locks of the cache's own are files that stay."""
    found = [path for path in place.rglob("*") if path.name.startswith(".") or path.name == "run.lock"]
    return sorted(str(path.relative_to(place)) for path in found)


def kill(case: str, work: Work, expected: dict[str, str], place: Path, number: int, after: float) -> Kill:
    """Kill a command, give it again until it says that it is done, and look at what it left."""
    place.mkdir(parents=True)
    log = place.parent / f"{place.name}.log"
    process = Command(work.words(place), log)
    time.sleep(after)
    process.send(number)  # a process that has ended is there until it is waited for
    codes = [process.wait()]
    while codes[-1] not in (0, None) and len(codes) < 4:
        codes.append(Command(work.again(place), log).wait())
    found, left = work.result(place), left_over(place)
    tracebacks = len(re.findall(r"^Traceback", log.read_text(errors="replace"), re.MULTILINE))
    identical = found == expected
    if identical and not left and not tracebacks:
        shutil.rmtree(place)
    told = tuple(-999 if code is None else code for code in codes)
    return Kill(
        case, signal.Signals(number).name, round(after, 2), told, identical, tuple(left), tracebacks, None in codes
    )


def main(case: str, model: Path, folder: Path, count: int, seed: int) -> None:
    """Kill a case so many times."""
    for module in (*_IMPORTED, *(["tunesmith_stage_grpo.fitting"] if case == "grpo" else [])):
        importlib.import_module(module)
    work = work_of(case, model, folder)
    tunesmith.plan(folder / "config.yaml", [f"output_dir={folder / 'whole'}"])  # which imports the plugins
    whole = folder / "whole"
    whole.mkdir()
    began = time.monotonic()
    assert Command(work.words(whole), folder / "whole.log").wait() == 0, (folder / "whole.log").read_text()
    seconds, expected = time.monotonic() - began, work.result(whole)
    assert expected
    draw = random.Random(seed)
    for index in range(count):
        number = SIGNALS[index % len(SIGNALS)]
        done = kill(case, work, expected, folder / f"kill-{index}", number, draw.uniform(0, seconds))
        print(json.dumps(asdict(done)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
