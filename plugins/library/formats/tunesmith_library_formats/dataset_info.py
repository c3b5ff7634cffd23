"""LLaMA-Factory's `dataset_info.json`, read as a registry of data sets as it is.

Columns that it does not name have LLaMA-Factory's defaults: `instruction`, `input` and `output`, or the conversation,
and none for anything else, which is not read then. A default is not taken where another role has the column.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tunesmith_library_formats.records import ALONE

FILE = "dataset_info.json"
_PLACES = ("file_name", "hf_hub_url", "ms_hub_url", "om_hub_url", "cloud_file_name", "script_url")
_HUBS = {  # in the order in which they are taken: key, hub, and the variable of the environment that prefers it
    "ms_hub_url": ("modelscope", "USE_MODELSCOPE_HUB"),
    "om_hub_url": ("modelers", "USE_OPENMIND_HUB"),
    "hf_hub_url": ("huggingface", ""),
}
_NAMES = {"num_samples": "samples", "formatting": "format"}
# the columns that are read where it names none, by the names that it has for them; of a format that it has
_READ: dict[str, dict[str, str]] = {
    "alpaca": {"prompt": "instruction", "query": "input", "response": "output"},
    "sharegpt": {},
    "openai": {},
}
_ELSEWHERE = (
    *(
        "instruction",
        "input",
        "output",
        "prompt",
        "query",
        "response",
        "history",
        "system",
        "tools",
        "label",
        "kto_tag",
    ),
    *("chosen", "rejected", "images", "videos", "audios", "weight", "enable_thinking"),
)
"""Names of columns that are read without being named, in other files than this."""
_NEEDED = {"instruction": "prompt", "output": "response"}  # columns that are read in this one, too, unless others are
_OPTIONAL = ("query",)  # roles that a data set may do without
_SILENT = ("ranking", "file_sha1", "folder", *_PLACES)  # what else says the same, or belongs to the place


def is_dataset_info(content: Mapping[str, Any]) -> bool:
    """Whether a file is of this kind; `datasets` writes others of the same name beside what it saves.

    What else stands in it, such as a comment or a data set that is half written, is the business of who names it.
    """
    return any(isinstance(values, Mapping) and any(key in values for key in _PLACES) for values in content.values())


def sets_in(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The data sets of the file as entries of ours; one without a place has the path ""."""
    return {str(name): translate(values) for name, values in content.items() if isinstance(values, Mapping)}


def translate(values: Mapping[str, Any]) -> dict[str, Any]:
    """One data set of the file as an entry of ours. Keys that nobody knows stay, to be complained of."""
    values = {key: value for key, value in values.items() if value is not None}
    made = {key: value for key, value in values.items() if key not in (*_SILENT, *_NAMES)}
    made.update({ours: values[theirs] for theirs, ours in _NAMES.items() if theirs in values})
    made["path"] = _place(values)
    made.setdefault("format", "alpaca")
    if "/" in str(values.get("file_name", "")):  # media are looked for beside this file
        made.setdefault("media_dir", ".")
    for key in ("columns", "tags"):
        if isinstance(made.get(key), Mapping):
            made[key] = {name: column for name, column in made[key].items() if column is not None}
    if made["format"] == "alpaca" and set(made.get("columns") or ()) == {"prompt"}:  # of pre-training
        made["format"] = "text"
    if made["format"] == "openai" and made.get("tags"):
        made["format"] = "sharegpt"  # which knows tags, and otherwise the same roles
    if made["format"] in _READ:
        pair = {"chosen": "chosen", "rejected": "rejected"} if values.get("ranking") else {}
        made["columns"] = _all_that_are_read(made.get("columns") or {}, {**_READ[made["format"]], **pair})
    return made


def _all_that_are_read(named: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    """The columns that are named, and those that are read by default and that no other role has; no others.

    Under `ALONE` stand the roles that a default goes to although there are names, for this to be said.
    """
    added = {role: column for role, column in defaults.items() if role not in named and column not in named.values()}
    optional = [role for role in added if role in _OPTIONAL] if named else []
    return {**named, **added, ALONE: ", ".join(optional)}


def by_default(columns: Mapping[str, str], found: Iterable[str]) -> dict[str, str]:
    """The columns of a file that are read though its entry, which names others, does not name them: by their roles."""
    roles = [role for role in columns.get(ALONE, "").split(", ") if role]
    return {role: columns[role] for role in roles if columns[role] in found}


def unread(columns: Mapping[str, str], found: Iterable[str]) -> list[str]:
    """The columns of a file that are not read because its entry here does not name them, and elsewhere would be.

    Args:
        columns: of the entry, as `translate` gives them, or those of another entry, which reads them all.
        found: the file's columns.
    """
    if ALONE not in columns:
        return []
    read = {*columns.values(), *(column for column, name in _NEEDED.items() if name not in columns)}
    return [column for column in found if column in _ELSEWHERE and column not in read]


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
