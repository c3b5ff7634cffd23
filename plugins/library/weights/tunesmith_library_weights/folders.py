"""Addresses of models and adapters, looked at before anything is loaded: what is wrong with those that are here."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from tunesmith.addresses import is_path
from tunesmith.errors import choices, nearest
from tunesmith.types import Problem, Requirement


def model_problems(address: str | None, key: str) -> list[Problem]:
    """What is wrong with a model's address that can only be a local one, by what is there instead; [] for any other."""
    if address is None:
        return []
    if "://" in address or not is_path(address):
        return _no_id(address, key)
    folder = Path(os.path.expanduser(address))
    if folder.is_file():
        return [Problem(key, f"{address} is a file; {key} names the folder of a model.", _of_file(folder, key))]
    if not folder.is_dir():
        siblings = [entry.name for entry in folder.parent.iterdir()] if folder.parent.is_dir() else []
        where = f"in {folder.parent}: {choices(folder.name, siblings, 'there is')}" if siblings else ""
        return [Problem(key, f"there is no folder {address}", where or f"{folder.parent} does not exist")]
    if (folder / "config.json").is_file():
        return _unreadable(folder / "config.json", key)
    names = sorted(entry.name for entry in folder.iterdir())
    inside = [name for name in names if (folder / name / "config.json").is_file()]
    if "adapter_config.json" in names:
        advice = f"it holds an adapter: write adapter.path={folder}, and {key} for the model that it belongs to"
    elif inside:
        advice = f"there are models inside: {', '.join(f'{key}={folder / name}' for name in inside[:3])}"
    elif "run.yaml" in names:
        advice = f"it is a run that has no result yet: tunesmith train {folder} resume=true"
    else:
        advice = choices("config.json", names, "there is")
    return [Problem(key, f"{folder} holds no config.json, so no model.", advice)]


def _unreadable(file: Path, key: str) -> list[Problem]:
    """What is wrong with a config.json that is no JSON object."""
    try:
        if isinstance(json.loads(file.read_text(encoding="utf-8")), dict):
            return []
        why = "it is no object in braces"
    except (OSError, ValueError) as error:
        why = str(error)
    return [Problem(key, f"{file} cannot be read: {why}.", "bring back the file that the model came with")]


def _of_file(file: Path, key: str) -> str:
    """What to write instead of a file."""
    if (file.parent / "config.json").is_file():
        return f"the folder that it lies in holds a model: {key}={file.parent}"
    if file.suffix.lower() == ".gguf":
        return f"such a file is given in the place of a configuration: tunesmith chat {file}"
    if (file.parent / "adapter_config.json").is_file():
        return f"the folder that it lies in holds an adapter: adapter.path={file.parent}"
    return "a model's folder has config.json beside its weights"


_OF_NO_ID = re.compile(r"[\s\"'<>|\\^`]+")


def _no_id(address: str, key: str) -> list[Problem]:
    """What is wrong with an address that is no id of a hub: those have no spaces and quotes."""
    if not _OF_NO_ID.search(address):
        return []
    message = f"{key}={address} is no folder that is there, and no id of a hub, which has no spaces and quotes."
    here = [entry.name for entry in Path().iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    near = nearest(address, here)
    return [Problem(key, message, f"write it as org/name, or a folder{f'; did you mean ./{near}?' if near else ''}")]


def adapter_problems(address: str | None, key: str) -> list[Problem]:
    """What is wrong with an adapter's address that can only be a local one; [] for any other."""
    if address is None or "://" in address or not is_path(address):
        return []
    folder = Path(os.path.expanduser(address))
    if (folder / "adapter_config.json").is_file():
        return []
    message = f"{key}={address} holds no adapter (no adapter_config.json)."
    if folder.is_file() and (folder.parent / "adapter_config.json").is_file():
        return [Problem(key, message, f"it is a file; the folder that it lies in holds one: {key}={folder.parent}")]
    return [Problem(key, message, "the folder of a run that trained an adapter")]


def reference_problems(model: str | None, adapter: str | None, kind: str) -> list[Problem]:
    """What is wrong with the options `reference` and `reference_adapter` of a plugin of a kind."""
    return [*model_problems(model, f"{kind}.reference"), *adapter_problems(adapter, f"{kind}.reference_adapter")]


def fetched(addresses: Mapping[str, str | None]) -> list[Requirement]:
    """The hubs that addresses need, by the keys that they stand under; None needs none."""
    return [Requirement("hub", address, key) for key, address in addresses.items() if address is not None]
