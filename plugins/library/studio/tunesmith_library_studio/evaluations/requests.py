"""What a client asks for, as the command line of `tunesmith eval` or `tunesmith predict`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith_library_configuration.records import MARKER, checkpoints_of

from tunesmith_library_studio.configuring.places import hold_inside
from tunesmith_library_studio.runs.folders import RECORD
from tunesmith_library_studio.workspace import Workspace

FOLDER = "evaluations"
"""Of the runs folder: results of models that are no runs, each in a folder of its own."""


@dataclass(frozen=True)
class Request:
    """One evaluation, or the answers to data sets."""

    model: str  # a run, checkpoint, export or model folder as written, or an address
    evaluators: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # options by name
    data: Sequence[Any] = ()  # of data.eval: addresses, or mappings with path; none: what the run held out
    engine: Mapping[str, Any] = field(default_factory=dict)  # name and options
    overrides: Sequence[str] = ()  # further KEY=VALUE
    before: bool = False  # also the model that the run was trained from
    output: str | None = None  # folder of the results; None: the run's, or one below `FOLDER`


def command_of(request: Request, kind: str, workspace: Workspace) -> list[str]:
    """The arguments behind `tunesmith`.

    Args:
        kind: `eval` or `predict`.

    Raises: TunesmithError for a path outside of the workspace, or what cannot be measured.
    """
    words = [*_model(request, workspace), *_options(request, kind, workspace)]
    if kind == "eval":
        return ["eval", *words, *(["--before"] if request.before else [])]
    return ["predict", *words, "--overwrite"]


def plan_of(request: Request, kind: str, workspace: Workspace) -> list[str]:
    """The arguments of a plan of it, as JSON."""
    words = [*_model(request, workspace), *_whole(request, workspace), *_options(request, kind, workspace)]
    return ["plan", *words, "--for", "eval" if kind == "eval" else "chat", "--json"]


def folder_of(request: Request, workspace: Workspace) -> Path:
    """Where the results come to lie."""
    if request.output:
        return workspace.path(request.output)
    folder = _folder(request.model, workspace)
    if folder is not None and (folder / RECORD).is_file():
        return folder
    inside = folder.relative_to(workspace.runs) if folder and folder.is_relative_to(workspace.runs) else None
    name = re.sub(r"[^\w.-]+", "-", str(inside or (folder.name if folder else request.model))).strip("-.")
    return workspace.runs / FOLDER / (name or "model")


def unfinished(request: Request, workspace: Workspace) -> list[dict[str, Any]]:
    """What a plan does not see: that a run has no result yet, with a checkpoint of it that can be measured."""
    folder = _folder(request.model, workspace)
    if folder is None or not (folder / RECORD).is_file():
        return []
    if any((folder / name).is_file() for name in ("adapter_config.json", "config.json")):
        return []
    whole = [path for path in checkpoints_of(folder) if (path / MARKER).is_file()]
    advice = f"choose its checkpoint {workspace.shown(whole[-1])}, or have it go on" if whole else "have it go on first"
    message = f"{request.model} has no result yet: its training has not ended."
    return [{"key": None, "severity": "error", "message": message, "advice": advice}]


def _model(request: Request, workspace: Workspace) -> list[str]:
    folder = _folder(request.model, workspace)
    if folder is not None:
        return [str(folder)]
    if not request.model.strip() or request.model.startswith("-"):
        raise TunesmithError("no model is chosen.\nchoose a run, a model's folder, or an address such as Qwen/Qwen3-4B")
    hold_inside(request.model, workspace)
    return [f"model.path={request.model}"]


def _whole(request: Request, workspace: Workspace) -> list[str]:
    """For the plan of a run that holds its whole model: that one is loaded, and its base may be nowhere here."""
    folder = _folder(request.model, workspace)
    if folder is None or not all((folder / name).is_file() for name in (RECORD, "config.json")):
        return []
    return [f"model.path={folder}"]


def _folder(model: str, workspace: Workspace) -> Path | None:
    """What is there under a name: a run, or a path; None for an address."""
    if not model.strip() or "://" in model:
        return None
    for path in (workspace.runs / model, workspace.root / model):
        if path.exists():
            return workspace.path(path)
    return None


def _options(request: Request, kind: str, workspace: Workspace) -> list[str]:
    given = {"evaluator": request.evaluators if kind == "eval" else None, "engine": request.engine}
    values = {**given, "data.eval": list(request.data)}
    hold_inside(values, workspace)
    for override in request.overrides:
        key, separator, value = override.partition("=")
        if not separator or not re.fullmatch(r"[A-Za-z_][\w.\[\]-]*", key):
            raise TunesmithError(f"{override!r} is no override.\nwrite KEY=VALUE: template=qwen3")
        hold_inside(value, workspace)
    found = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items() if value]
    if given["evaluator"]:
        found.insert(0, "evaluator=[]")  # a run's own evaluators would be measured beside those that are chosen
    return [*found, *request.overrides, f"output_dir={folder_of(request, workspace)}"]
