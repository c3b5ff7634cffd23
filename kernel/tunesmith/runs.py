"""A run's folder, which is a handle: `tunesmith chat RUN`, `tunesmith export RUN`.

RUN/run.yaml          the resolved configuration; `tunesmith train RUN/run.yaml` repeats the run
RUN/plugins.lock      the distributions that made it, as requirements
RUN/metrics.jsonl, RUN/loss.png, …    what the trackers write
RUN/checkpoint-N/     what a resumed run continues from
RUN/config.json, …    a whole model; or RUN/adapter_config.json, …    an adapter of the base model in run.yaml
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tunesmith import __version__
from tunesmith.keys import Key
from tunesmith.kinds import KINDS
from tunesmith.messages import announce
from tunesmith.planning import Plan
from tunesmith.types import Problem
from tunesmith.upgrades import VERSION
from tunesmith_library_configuration import folders
from tunesmith_library_configuration.folders import RECORD, REQUIREMENTS, changed_problems
from tunesmith_library_configuration.folders import is_run as is_run
from tunesmith_library_configuration.launchers import is_main_process, launched
from tunesmith_library_configuration.outputs import files_of, misplaced_problems, shared_problems
from tunesmith_library_configuration.reading import to_yaml
from tunesmith_library_configuration.requirements import requirements
from tunesmith_library_configuration.secrets import without_secrets


def launches(plan: Plan) -> bool:
    """Whether this process only starts those that train."""
    return plan.command == "train" and plan.uses("parallel") and launched() is None


def output_folder(plan: Plan, config_file: Path | None) -> Path:
    """Where a training run goes: `output_dir` when it is given, else as `folders.chosen_folder`."""
    if plan.run.output_dir:
        return Path(plan.run.output_dir).expanduser()
    return folders.chosen_folder(config_file, str(plan.name("stage")), plan.run.resume)


def folder_problems(plan: Plan, config_file: Path | None, known: Iterable[Problem]) -> list[Problem]:
    """What would keep a run from having its folder, found before anything is loaded; `known` is wrong already."""
    folder = output_folder(plan, config_file)
    problems = folders.place_problems(folder, plan.config, resume=plan.run.resume, overwrite=plan.run.overwrite)
    resumed = plan.run.resume and config_file is not None and config_file.name == RECORD
    if plan.processes != 1 and not (plan.run.output_dir or resumed):
        message = "a run of several processes needs output_dir, which all of them share."
        problems.append(Problem("output_dir", message, "write output_dir=runs/NAME"))
    files = files_of({Key(i.entry.kind, i.entry.name): i.instance for i in plan.selected}, _said(plan))
    problems += shared_problems(files, plan.origins)
    if not plan.run.resume:
        return problems
    unsure = {item.entry.kind for item in plan.selected if item.instance is None}
    unsure |= {str(key[0]) for problem in known if (key := Key.of(problem.key)) and problem.severity == "error"}
    changed = changed_problems(folder, _recorded(plan), partial(_is_free, plan), unsure)
    return [*problems, *misplaced_problems(folder, files), *changed]


def _said(plan: Plan) -> dict[Key, str | None]:
    """What trackers say of a file that they write."""
    return {Key("tracker", n): getattr(plan.traits("tracker", n), "metrics_file", None) for n in plan.names("tracker")}


def _is_free(plan: Plan, key: tuple[str, ...]) -> bool:
    """Whether an option may change when a run goes on: its kind is free, or its plugin's class says so."""
    kind = KINDS.get(key[0])
    if kind is None or kind.free:
        return kind is not None or key[0] in (VERSION, "default_hub")
    name, option = (key[1:3] if kind.many else (None, key[1])) if len(key) > 1 + kind.many else (None, None)
    return option in getattr(plan.plugin(kind.name, name), "changeable", ())


@contextlib.contextmanager
def opened(folder: Path, plan: Plan, config_file: Path | None = None) -> Iterator[None]:
    """Hold a run's folder while it is written to, with `run.yaml` and `plugins.lock`; on the main process only.

    Raises: as `tunesmith_library_configuration.folders.opened`.
    """
    if not is_main_process():
        yield
        return
    if not plan.run.output_dir:
        former = folders.chosen_folder(config_file, str(plan.name("stage")), resume=True)
        if former != folder and folders.is_run(former):
            announce("output_dir", folder, f"not given; resume=true goes on with {former}")
        else:
            announce("output_dir", folder, "not given")
    files = {RECORD: run_yaml(plan), REQUIREMENTS: "\n".join(lock_lines(plan)) + "\n"}
    with folders.opened(folder, files, resume=plan.run.resume, overwrite=plan.run.overwrite):
        yield


def run_yaml(plan: Plan) -> str:
    """The resolved configuration as YAML, without what belongs to one run only; secrets are left out, for a repeated
    run would take a placeholder for one."""
    return to_yaml(_recorded(plan))


def _recorded(plan: Plan) -> dict[str, Any]:
    config, own = without_secrets(plan.config), ("output_dir", "resume", "overwrite")
    return {VERSION: __version__, **{key: value for key, value in config.items() if key not in own}}


def lock_lines(plan: Plan) -> list[str]:
    """What made a run, as lines that pip can install, and behind each distribution the plugins that it gave."""
    plugins = [(f"{item.entry.kind}={item.entry.name}", item.entry) for item in plan.selected]
    gave = [(entry.distribution, label) for label, entry in plugins if not entry.private]
    return requirements([("tunesmith", ""), *gave]) + [f"# {label} {e.version}" for label, e in plugins if e.private]
