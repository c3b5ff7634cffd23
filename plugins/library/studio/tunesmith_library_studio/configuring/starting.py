"""Starting what a draft says: its configuration is written down, and a job trains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tunesmith import TunesmithError
from tunesmith_library_configuration.overrides import written_overrides

from tunesmith_library_studio.configuring.configurations import Given
from tunesmith_library_studio.runs.folders import folder_of

if TYPE_CHECKING:
    from tunesmith_library_studio.jobs import Job
    from tunesmith_library_studio.studio import Studio


_WAITING_OR_AT_WORK = ("queued", "running", "stopping")


@dataclass(frozen=True)
class Start:
    """How a draft is to be run."""

    name: str = ""  # of the run: its folder in the runs folder; empty for one that is free
    devices: Sequence[str] = ()  # numbers of GPUs, `any`, `cpu`
    queued: bool = True  # whether it waits until its devices are free
    tags: Sequence[str] = ()  # of the run; the first is that of the job, too


def start(studio: Studio, given: Given, how: Start) -> Job:
    """Train a draft.

    Raises: TunesmithError that lists what is wrong with it, before anything is written.
    """
    name = how.name.strip().strip("/") or _name(studio, given)
    folder = folder_of(studio.workspace, name)
    former = studio.jobs.of_run(name)
    if former is not None and former.state in _WAITING_OR_AT_WORK:
        raise TunesmithError(f"{name} is {former.state} already.\nchoose another name, or stop it first")
    placed = written_overrides({"output_dir": studio.workspace.shown(folder)})
    answer = studio.configuring.answer(replace(given, overrides=(*given.overrides, *placed)))
    wrong = [problem for problem in answer["problems"] if problem["severity"] == "error"]
    if wrong:
        raise TunesmithError("\n\n".join(_words(problem) for problem in wrong))
    file = studio.configuring.write(answer["yaml"], name)
    tag = next(iter(how.tags), "")
    job = studio.jobs.start(
        "train",
        ["train", studio.workspace.shown(file)],
        title=name,
        run=name,
        devices=how.devices,
        output=folder,
        queued=how.queued,
        tag=tag,
    )
    if how.tags:
        studio.runs.expect(name, how.tags)
    return job


def _words(problem: Mapping[str, Any]) -> str:
    return "\n".join(filter(None, (problem["message"], problem["advice"])))


def _name(studio: Studio, given: Given) -> str:
    """The name that the draft's own folder says; else a free one from what is trained, and how: qwen3-8b-sft-lora."""
    values = studio.configuring.answer(given)["values"] or {}
    if values.get("output_dir"):
        folder = studio.workspace.path(str(values["output_dir"]))
        inside = folder.is_relative_to(studio.workspace.runs) and folder != studio.workspace.runs
        return folder.relative_to(studio.workspace.runs).as_posix() if inside else folder.name
    model = str((values.get("model") or {}).get("path") or "model").rstrip("/").rpartition("/")[2].lower()
    usual = {"stage": "sft", "adapter": "lora"}
    parts = [str((values.get(kind) or {}).get("name") or name).rpartition(":")[2] for kind, name in usual.items()]
    return studio.configuring.free_name("-".join([model, *parts]))
