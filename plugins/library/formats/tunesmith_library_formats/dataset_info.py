"""LLaMA-Factory's `dataset_info.json`, read as a registry of data sets as it is.

Where it names some columns or tags, those that it does not name keep their defaults.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = "dataset_info.json"
_PLACES = ("file_name", "hf_hub_url", "ms_hub_url", "om_hub_url", "cloud_file_name", "script_url")
_HUBS = {  # in the order in which they are taken: key, hub, and the variable of the environment that prefers it
    "ms_hub_url": ("modelscope", "USE_MODELSCOPE_HUB"),
    "om_hub_url": ("modelers", "USE_OPENMIND_HUB"),
    "hf_hub_url": ("huggingface", ""),
}
_NAMES = {"num_samples": "samples", "formatting": "format"}
_SILENT = ("ranking", "file_sha1", "folder", *_PLACES)  # what else says the same, or belongs to the place


def is_dataset_info(content: Mapping[str, Any]) -> bool:
    """Whether a file is of this kind; `datasets` writes others of the same name beside what it saves."""
    sets = [values for values in content.values() if isinstance(values, Mapping)]
    return bool(sets) and len(sets) == len(content) and all(any(key in values for key in _PLACES) for values in sets)


def translate(values: Mapping[str, Any]) -> dict[str, Any]:
    """One data set of the file as an entry of ours. Keys that nobody knows stay, to be complained of."""
    values = {key: value for key, value in values.items() if value is not None}
    made = {key: value for key, value in values.items() if key not in (*_SILENT, *_NAMES)}
    made.update({ours: values[theirs] for theirs, ours in _NAMES.items() if theirs in values})
    made["path"] = _place(values)
    made.setdefault("format", "alpaca")
    for key in ("columns", "tags"):
        if isinstance(made.get(key), Mapping):
            made[key] = {name: column for name, column in made[key].items() if column is not None}
    if made["format"] == "alpaca" and set(made.get("columns") or ()) == {"prompt"}:  # of pre-training
        made["format"] = "text"
    if made["format"] == "openai" and made.get("tags"):
        made["format"] = "sharegpt"  # which knows tags, and otherwise the same roles
    return made


def _place(values: Mapping[str, Any]) -> str:
    """Where a data set is: a preferred hub, another hub, a cloud, a file; "" where only a script makes it."""
    for key, (hub, variable) in _HUBS.items():
        if values.get(key) and variable and _is_on(variable):
            return _on_hub(hub, key, values)
    if values.get("hf_hub_url"):
        return _on_hub("huggingface", "hf_hub_url", values)
    for key, (hub, _) in _HUBS.items():
        if values.get(key):
            return _on_hub(hub, key, values)
    if values.get("cloud_file_name"):
        return str(values["cloud_file_name"]).replace("gcs://", "gs://")
    return f"./{values['file_name']}" if values.get("file_name") else ""


def _on_hub(hub: str, key: str, values: Mapping[str, Any]) -> str:
    return "/".join(filter(None, (f"{hub}://datasets/{values[key]}", values.get("folder"))))


def _is_on(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in ("1", "true", "y", "yes", "on")


def beside(path: str) -> Path | None:
    """The file of this kind that a name may be looked up in: in the folder that it is written with, else in `data`."""
    folders = [Path(path).expanduser().parent, *([] if "/" in path else [Path("data")])]
    return next((folder / FILE for folder in folders if "://" not in path and (folder / FILE).is_file()), None)
