"""Data sets and templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith.catalog import Catalog
from tunesmith.errors import TunesmithError
from tunesmith.options import options

from tunesmith_dialect_llamafactory.draft import Draft, listed

_ONLINE = "ONLINE"
_REMOTE = "REMOTE:"


def _entries(value: Any, draft: Draft) -> list[dict[str, Any]]:
    online = draft.get("dataset_dir") == _ONLINE
    entries = [dict(item) if isinstance(item, dict) else {"path": item} for item in listed(value)]
    return [{"format": "alpaca", **entry} for entry in entries] if online else entries


def dataset(key: str, value: Any, draft: Draft) -> None:
    measures = draft.command in ("predict", "eval") and not (draft.get("eval_dataset") or draft.get("val_size"))
    draft.put("data.eval" if measures else "data.train", _entries(value, draft), key)


def eval_dataset(key: str, value: Any, draft: Draft) -> None:
    draft.put("data.eval", _entries(value, draft), key)
    if draft.get("val_size"):
        draft.refuse("val_size", "eval_dataset is there, too.", "leave one of them out")


def dataset_dir(key: str, value: Any, draft: Draft) -> None:
    value = str(value)
    if value.startswith(_REMOTE):
        repository = value.removeprefix(_REMOTE)
        advice = f"hf download --repo-type dataset {repository} --local-dir data, then dataset_dir: data"
        draft.refuse(key, "dataset_info.json is read from a folder.", advice)
    elif value != _ONLINE:
        draft.put("data.registry", str(Path(value) / "dataset_info.json"), key)


def interleave_probs(key: str, value: Any, draft: Draft) -> None:
    entries, weights = draft.config.get("data", {}).get("train", []), listed(value)
    if draft.get("mix_strategy") == "concat":
        draft.refuse(key, "it belongs to mix_strategy interleave_under or interleave_over.", "leave it out")
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
        catalog = Catalog.discover()
        known = {option.name for option in options(catalog.load(catalog.find("template", name)))}
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
