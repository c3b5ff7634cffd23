"""Data sets and templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith.errors import TunesmithError, choices
from tunesmith.options import options

from tunesmith_dialect_llamafactory.draft import Draft, listed
from tunesmith_dialect_llamafactory.installed import plugin

_ONLINE = "ONLINE"
_REMOTE = "REMOTE:"


def _entries(key: str, value: Any, draft: Draft) -> list[dict[str, Any]]:
    place, names = str(draft.get("dataset_dir")), listed(value)
    if place.startswith(_REMOTE) and not any(isinstance(name, dict) for name in names):
        return _of_repository(key, [str(name) for name in names], place.removeprefix(_REMOTE), draft)
    entries = [dict(item) if isinstance(item, dict) else {"path": item} for item in names]
    return [{"format": "alpaca", **entry} for entry in entries] if place == _ONLINE else entries


def _of_repository(key: str, names: list[str], repository: str, draft: Draft) -> list[dict[str, Any]]:
    """The data sets of these names, whose `dataset_info.json` is in a repository on the hub."""
    from tunesmith_dialect_llamafactory.remote import sets_of

    try:
        known = sets_of(repository, draft.get("cache_dir"))
    except TunesmithError as error:
        told, _, advice = str(error).partition("\n")
        found = draft.get("dataset_dir")
        if not any(str(note.key) == "dataset_dir" for note in draft.notes):
            draft.refuse("dataset_dir", told.strip().removesuffix(".") + ".", advice.strip() or f"{found}: another")
        return []
    for name in names:
        if name not in known:
            draft.refuse(key, f"the dataset_info.json of {repository} has no {name}.", choices(name, known))
        elif not known[name]["path"]:
            advice = "save what it makes as JSON Lines, and name that file"
            draft.refuse(key, f"{name} is made by a script (script_url), which is not run.", advice)
    return [{**known[name], "name": name} for name in names if name in known and known[name]["path"]]


def dataset(key: str, value: Any, draft: Draft) -> None:
    measures = draft.command in ("predict", "eval") and not (draft.get("eval_dataset") or draft.get("val_size"))
    draft.put("data.eval" if measures else "data.train", _entries(key, value, draft), key)


def eval_dataset(key: str, value: Any, draft: Draft) -> None:
    draft.put("data.eval", _entries(key, value, draft), key)
    if draft.get("val_size"):
        draft.refuse("val_size", "eval_dataset is there, too.", "leave one of them out")


def dataset_dir(key: str, value: Any, draft: Draft) -> None:
    value = str(value)
    if value.startswith(_REMOTE):
        repository = value.removeprefix(_REMOTE)
        draft.note(key, "translated", f"the data sets are those that dataset_info.json of {repository} names now.")
    elif value != _ONLINE:
        draft.put("data.registry", str(Path(value) / "dataset_info.json"), key)


def interleave_probs(key: str, value: Any, draft: Draft) -> None:
    entries, weights = draft.config.get("data", {}).get("train", []), listed(value)
    if draft.get("mix_strategy") == "concat":
        draft.refuse(
            key, "it belongs to mix_strategy interleave_under, interleave_over or interleave_once.", "leave it out"
        )
    elif len(weights) != len(entries):
        draft.refuse(key, f"there are {len(entries)} data sets.", "one number for each, with commas")
    else:
        try:
            numbers = [float(weight) for weight in weights]
        except ValueError:
            draft.refuse(key, "these are no numbers.", "interleave_probs: 0.7,0.3")
            return
        for number, entry in zip(numbers, entries, strict=True):
            entry["weight"] = number


def template(key: str, value: Any, draft: Draft) -> None:
    draft.put("template.name", str(value), key)


def enable_thinking(key: str, value: Any, draft: Draft) -> None:
    _switch(key, value, draft)


def preserve_thinking(key: str, value: Any, draft: Draft) -> None:
    _switch(key, value, draft)


def _switch(key: str, value: Any, draft: Draft) -> None:
    """A switch of a template; LLaMA-Factory reads it with all, and only some know it."""
    name = str(draft.get("template") or "auto")
    try:
        known = {option.name for option in options(plugin("template", name))}
    except TunesmithError:  # that there is no such template is said elsewhere
        return
    if key in known:
        draft.put(f"template.{key}", value, key)
    else:
        draft.note(key, "dropped", f"template {name} has no such switch.")


def tokenized_path(key: str, value: Any, draft: Draft) -> None:
    if "dataset" in draft.written:
        draft.put("data.cache_dir", value, key)
        draft.note(key, "translated", "encoded data are kept there, and taken from there while nothing has changed.")
    else:
        draft.refuse(key, "data sets that LLaMA-Factory encoded are not read.", "dataset: NAME, to encode it anew")
