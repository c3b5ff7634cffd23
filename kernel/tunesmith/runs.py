"""A run's folder, which is a handle: `tunesmith chat RUN`, `tunesmith export RUN`.

RUN/run.yaml          the resolved configuration; `tunesmith train RUN/run.yaml` repeats the run
RUN/plugins.lock      the distributions that made it, as requirements
RUN/metrics.jsonl, RUN/loss.png, …    what the trackers write
RUN/checkpoint-N/     what a resumed run continues from
RUN/config.json, …    a whole model; or RUN/adapter_config.json, …    an adapter of the base model in run.yaml
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import itertools
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunesmith import __version__
from tunesmith.errors import ConfigError, TunesmithError
from tunesmith.files import numbered, replacing
from tunesmith.kinds import KINDS
from tunesmith.messages import announce
from tunesmith.planning import Plan
from tunesmith.types import Problem
from tunesmith.upgrades import VERSION
from tunesmith_library_configuration.files import remove_leftovers
from tunesmith_library_configuration.locks import IN_FOLDER, beside, locked, refuse_locked
from tunesmith_library_configuration.reading import to_yaml
from tunesmith_library_configuration.records import changes, newest_record
from tunesmith_library_configuration.secrets import without_secrets
from tunesmith_library_configuration.space import unwritable

_LIBRARIES = (
    *("torch", "transformers", "peft", "trl", "datasets", "accelerate", "tokenizers", "safetensors"),
    *("pluggy", "omegaconf"),
)


def is_main_process() -> bool:
    """Whether this process is the first of a distributed run, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def launches(plan: Plan) -> bool:
    """Whether this process only starts those that train."""
    return plan.command == "train" and plan.uses("parallel") and "WORLD_SIZE" not in os.environ


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run."""
    return (folder / "run.yaml").is_file()


def holds_model(folder: Path) -> bool:
    """Whether a run's folder holds a whole model, not an adapter."""
    return (folder / "config.json").is_file()


def holds_adapter(folder: Path) -> bool:
    """Whether a run's folder holds a trained adapter."""
    return (folder / "adapter_config.json").is_file()


def output_folder(plan: Plan, config_file: Path | None) -> Path:
    """Where a training run goes.

    `output_dir` when it is given. Otherwise `runs/NAME`, NAME being the configuration's file name, or the run's own
    name for its `run.yaml`; a new run takes the next free number, a resumed one the newest folder that is there.
    """
    if plan.run.output_dir:
        return Path(plan.run.output_dir).expanduser()
    if plan.run.resume and config_file and config_file.name == "run.yaml":
        return config_file.parent
    base = _base(plan, config_file)
    taken = list(itertools.takewhile(Path.exists, numbered(base)))
    former = [folder for folder in taken if is_run(folder)]
    return former[-1] if plan.run.resume and former else next(itertools.islice(numbered(base), len(taken), None))


def _base(plan: Plan, config_file: Path | None) -> Path:
    """The folder that is counted up from."""
    if config_file is None:
        return Path("runs") / str(plan.name("stage"))
    if config_file.name != "run.yaml":
        return Path("runs") / config_file.stem
    own = config_file.parent if config_file.parent.name else config_file.resolve().parent
    first = own.with_name(re.sub(r"-\d+$", "", own.name))
    return first if is_run(first) else own


def folder_problems(plan: Plan, config_file: Path | None) -> list[Problem]:
    """What would keep a run from having its folder, found before anything is loaded."""
    problems = []
    if plan.run.resume and plan.run.overwrite:
        problems.append(Problem("overwrite", "resume=true and overwrite=true exclude each other.", "choose one"))
    resumed = plan.run.resume and config_file is not None and config_file.name == "run.yaml"
    if plan.processes != 1 and not (plan.run.output_dir or resumed):
        message = "a run of several processes needs output_dir, which all of them share."
        problems.append(Problem("output_dir", message, "write output_dir=runs/NAME"))
    folder = output_folder(plan, config_file)
    if reason := unwritable(folder):
        message = f"output_dir={folder} cannot be made: {reason}."
        problems.append(Problem("output_dir", message, "choose another: output_dir=FOLDER"))
    return problems + _changed_problems(plan, folder)


def _changed_problems(plan: Plan, folder: Path) -> list[Problem]:
    """The options that a run which goes on cannot change, and now has otherwise than its newest checkpoint."""
    record = newest_record(folder) if plan.run.resume else None
    advice = "leave it as it was, or start a new run: output_dir=FOLDER"
    return [
        Problem(".".join(key), f"{'.'.join(key)} was {was} when {record[0]} was written, and is {now} now.", advice)
        for key, was, now in (changes(record[1], _recorded(plan)) if record else ())
        if not _is_free(plan, key)
    ]


def _is_free(plan: Plan, key: tuple[str, ...]) -> bool:
    """Whether an option may change when a run goes on: its kind is free, or its plugin's class says so."""
    kind = KINDS.get(key[0])
    if kind is None or kind.free:
        return kind is not None or key[0] in (VERSION, "default_hub")
    name, option = (key[1:3] if kind.many else (None, key[1])) if len(key) > 1 + kind.many else (None, None)
    return option in getattr(plan.plugin(kind.name, name), "changeable", ())


@contextlib.contextmanager
def opened(folder: Path, plan: Plan) -> Iterator[None]:
    """Hold a run's folder while it is written to, with `run.yaml` and `plugins.lock` in it; on the main process only.

    Raises: as `open_folder`; ConfigError when another process writes there.
    """
    if not is_main_process():
        yield
        return
    if plan.run.resume and not is_run(folder):
        raise ConfigError(f"resume=true: there is no run in {folder}.\nstart it without resume, or name its output_dir")
    refuse_locked(beside(folder), folder)
    with locked(folder / IN_FOLDER, folder, "training"):
        remove_leftovers(folder)
        open_folder(folder, plan)
        yield


def open_folder(folder: Path, plan: Plan) -> None:
    """Make a run's folder and write `run.yaml` and `plugins.lock`; on the main process only.

    Raises: ConfigError when another run is there and neither `resume` nor `overwrite` is set, or nothing to resume;
        TunesmithError when the folder cannot be written.
    """
    if not is_main_process():
        return
    if not plan.run.output_dir:
        announce("output_dir", folder, "not given")
    try:
        if not plan.run.resume:
            _clear(folder, plan.run.overwrite)
        folder.mkdir(parents=True, exist_ok=True)
        for key, was, now in changes((newest_record(folder) or ("", {}))[1], _recorded(plan)) if plan.run.resume else ():
            announce(".".join(key), now, f"was {was}")
        _write(folder / "run.yaml", run_yaml(plan))
        _write(folder / "plugins.lock", "\n".join(lock_lines(plan)) + "\n")
    except OSError as error:
        raise TunesmithError(f"output_dir={folder} cannot be written: {error}") from error


def _clear(folder: Path, overwrite: bool) -> None:
    """Make sure that nothing is in a new run's folder."""
    if not _in_use(folder):
        return
    if not overwrite:
        kind = "a run is" if is_run(folder) else "files are"
        raise ConfigError(
            f"output_dir={folder}: {kind} already there.\n"
            "resume=true continues the run, overwrite=true deletes it, or choose another output_dir"
        )
    if not is_run(folder):
        raise ConfigError(f"overwrite=true: {folder} is not a run, so it is not deleted.\nchoose another output_dir")
    for entry in folder.iterdir():
        if entry.name != IN_FOLDER:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _in_use(folder: Path) -> bool:
    """Whether a folder holds anything that would be lost; a run that failed before it trained leaves nothing such."""
    return folder.exists() and any(entry.name not in ("run.yaml", "plugins.lock", IN_FOLDER) for entry in folder.iterdir())


def _write(path: Path, text: str) -> None:
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def run_yaml(plan: Plan) -> str:
    """The resolved configuration as YAML, without what belongs to one run only; secrets are left out, for a repeated
    run would take a placeholder for one."""
    return to_yaml({VERSION: __version__, **_recorded(plan)})


def _recorded(plan: Plan) -> dict[str, Any]:
    own = {"output_dir", "resume", "overwrite"}
    return {key: value for key, value in without_secrets(plan.config).items() if key not in own}


def lock_lines(plan: Plan) -> list[str]:
    """What made a run, as `name==version` lines that pip can install, the kernel and plugins first, and behind each
    distribution the plugins that it gave; a plugin in a file of the user's is a comment with the hash of the file."""
    gave: dict[str, list[str]] = {"tunesmith": []}
    files = []
    for item in plan.selected:
        label = f"{item.entry.kind}={item.entry.name}"
        if item.entry.private:
            files.append(f"# {label} {item.entry.version}")
        else:
            gave.setdefault(item.entry.distribution, []).append(label)
    lines = []
    for name in (*sorted(gave), *_LIBRARIES):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            plugins = f"  # {' '.join(sorted(gave[name]))}" if gave.get(name) else ""
            lines.append(f"{name}=={importlib.metadata.version(name)}{plugins}")
    return lines + files
