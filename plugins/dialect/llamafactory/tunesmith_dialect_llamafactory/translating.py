"""From the mapping that LLaMA-Factory reads to ours."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tunesmith.errors import choices
from tunesmith.keys import Key, Origin
from tunesmith.types import Note, Translation

from tunesmith_dialect_llamafactory.draft import Draft, listed
from tunesmith_dialect_llamafactory.environment import hub_of_the_environment, is_on
from tunesmith_dialect_llamafactory.nested import NESTED, flattened
from tunesmith_dialect_llamafactory.table import GONE, OLD, Entry, table
from tunesmith_dialect_llamafactory.values import meant, unfit

SHARED = frozenset(("stage", "template", "model", "output_dir", "seed"))
"""Keys of ours that are theirs, too, so that an override of one is in their words."""


def knows(key: str) -> bool:
    """Whether a key is one of LLaMA-Factory's, in any of its versions."""
    return _name(key) in table() or key in GONE or key in NESTED


def knows_all(config: Mapping[str, Any]) -> bool:
    """Whether every key is one of LLaMA-Factory's."""
    return all(isinstance(key, str) and knows(key) for key in config)


def translate(config: Mapping[str, Any]) -> Translation:
    """Translate what `llamafactory-cli` would do with a file."""
    flat = flattened(config)
    names: dict[str, str | Key] = dict(flat.names)  # as they are written
    written: dict[str, Any] = {}
    repeated: list[Note] = []
    for key, value in flat.values.items():
        name = _name(key)
        if name in written:
            told = f"{names[name]} is there, too, and counts."
            repeated.append(Note(names.get(key, key), "dropped", told))
            continue
        names[name] = names.get(key, key)
        given_value = meant(name, value)
        written[name] = not given_value if name == key.removeprefix("no_") != key else given_value
    given = {key: value for key, value in written.items() if value is not None}
    defaults = {**{key: entry.default for key, entry in table().items()}, **flat.defaults}
    draft = Draft(command_of(given), given, defaults)
    draft.notes += [*flat.notes, *repeated]
    for key, entry in table().items():
        if key in given or _is_kept(entry, draft) or key in flat.defaults:
            _translate_key(entry, draft, told=not flat.complete)
    for key in written.keys() - table().keys():
        _unknown(key, draft)
    hub_of_the_environment(draft)
    for ours, (value, _) in flat.ours.items():
        draft.put(ours, value, "")
    sources: dict[str, str | Key | Origin] = {ours: names[theirs] for ours, theirs in draft.sources.items()}
    sources |= {**draft.places, **{ours: name for ours, (_, name) in flat.ours.items()}}
    notes = tuple(replace(note, key=names.get(str(note.key), note.key)) for note in draft.notes)
    return Translation(draft.config, sources, draft.command, notes, SHARED)


def command_of(written: Mapping[str, Any]) -> str:
    """Which command a configuration is for: train, export, predict, eval or chat."""
    if written.get("export_dir"):
        return "export"
    if written.get("do_train") is True:
        return "train"
    if written.get("do_predict") or written.get("predict_with_generate"):
        return "predict"
    if written.get("do_eval") or written.get("task"):
        return "eval"
    return "train" if written.keys() & {"dataset", "output_dir", "tokenized_path"} else "chat"


def _name(key: str) -> str:
    """A key as it is called today; `no_double_quantization` is how a flag turns a switch off."""
    switched = key.removeprefix("no_")
    if key not in table() and switched in table() and isinstance(table()[switched].default, bool):
        return switched
    return OLD.get(key, key)


def _is_kept(entry: Entry, draft: Draft) -> bool:
    return entry.kept is True or entry.kept == draft.command


def _translate_key(entry: Entry, draft: Draft, *, told: bool) -> None:
    key, value = entry.key, draft.get(entry.key)
    if not all(_holds(condition, draft) for condition in entry.of):
        if told and value != entry.default:
            draft.note(key, "dropped", f"it belongs to {' and '.join(_in_words(one) for one in entry.of)}.")
    elif key in draft.written and (reason := unfit(entry, value)):
        draft.refuse(key, reason)
    elif entry.by:
        _function(entry.by)(key, value, draft)
    elif entry.ours:
        draft.put(entry.ours, _read(entry.reads, value), key)
    elif entry.only is not None:
        if value not in entry.only:
            draft.refuse(key, entry.why, entry.advice)
    elif value != entry.default and value not in entry.met:
        draft.note(key, "dropped", entry.none)


def _holds(condition: str, draft: Draft) -> bool:
    key, _, values = condition.partition("=")
    return str(draft.get(key)) in values.split("|") if values else bool(draft.get(key))


def _in_words(condition: str) -> str:
    key, _, values = condition.partition("=")
    return f"{key} {' or '.join(values.split('|'))}" if values else key


def _read(reads: str, value: Any) -> Any:
    if reads == "modules":
        return "all" if listed(value) == ["all"] else listed(value)
    return listed(value) if reads == "list" else value


@functools.cache
def _function(name: str) -> Callable[[str, Any, Draft], None]:
    module, _, function = name.partition(".")
    found: Callable[[str, Any, Draft], None] = getattr(
        importlib.import_module(f"tunesmith_dialect_llamafactory.thought.{module}"), function
    )
    return found


def _unknown(key: str, draft: Draft) -> None:
    if key in draft.sources.values():  # a former one that still means something
        return
    if is_on("ALLOW_EXTRA_ARGS") and key not in GONE:
        draft.notes.append(Note(key, "dropped", "it is no key of LLaMA-Factory's, and ALLOW_EXTRA_ARGS is set."))
    elif key in GONE:
        draft.notes.append(Note(key, "dropped", GONE[key]))
    else:
        draft.notes.append(
            Note(key, "refused", "it is no key of LLaMA-Factory's.", choices(key, {*table(), *OLD, *NESTED}))
        )
