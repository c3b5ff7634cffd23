"""From the mapping that a command of TRL's reads to ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tunesmith.errors import choices
from tunesmith.types import Note, Translation

from tunesmith_dialect_trl.draft import Draft
from tunesmith_dialect_trl.table import DROPPED, KEPT, OLD, ONLY, OWN, SAME, TRAINERS, defaults
from tunesmith_dialect_trl.thought import THOUGHT
from tunesmith_dialect_trl.thought.objective import DPO_LOSSES

_LOSSES = {
    "sft": {"nll", "chunked_nll", "dft"},
    "dpo": {*DPO_LOSSES, "aot", "aot_unpaired", "discopop", "sft", "sigmoid_norm"},
    "kto": {"kto", "apo_zero_unpaired"},
    "grpo": {"grpo", "dapo", "bnpo", "dr_grpo", "cispo", "sapo", "vespo", "luspo"},
}
"""Values of `loss_type` by which its trainer is known."""


def translate(config: Mapping[str, Any]) -> Translation:
    """Translate what `trl sft`, `dpo`, `kto`, `reward`, `grpo` or `rloo` would train."""
    written = {OLD.get(key, key): value for key, value in config.items()}
    names = {OLD.get(key, key): key for key in config}  # as they are written
    trainer, reason = trainer_of(written)
    draft = Draft(trainer, written, defaults(trainer))
    draft.put("stage.name", trainer, "trl")
    if reason:
        told = f"{trainer}, {reason}; write trl: NAME for another of {', '.join(TRAINERS)}."
        draft.notes.append(Note("trl", "translated", told))
    for key in _in_order(written):
        _translate_key(key, draft)
    sources = {ours: names[theirs] for ours, theirs in draft.sources.items()}
    notes = tuple(replace(note, key=names.get(str(note.key), note.key)) for note in draft.notes)
    return Translation(draft.config, sources, "train", notes)


def trainer_of(written: Mapping[str, Any]) -> tuple[str, str]:
    """Which command of TRL's a file is for, as it does not say: the one that knows most of its keys.

    Returns: its name, and by what it was known; "" where the file names it under `trl`.
    """
    if written.get("trl") in TRAINERS:
        return written["trl"], ""
    losses = written.get("loss_type") or ()
    losses = {losses} if isinstance(losses, str) else set(losses)
    possible = [name for name in TRAINERS if not losses or losses & _LOSSES.get(name, set())] or list(TRAINERS)
    count = {name: len(written.keys() & defaults(name).keys()) for name in possible}
    best = max(possible, key=lambda name: count[name])  # of several the first
    telling = sorted(key for key in written if key in defaults(best) and key not in defaults("sft"))
    telling += ["loss_type"] if losses else []
    return best, f"by its keys {', '.join(telling)}" if telling else "as no key belongs to another trainer"


def _in_order(written: Mapping[str, Any]) -> list[str]:
    """The keys that are written and those whose default holds, each after those that it looks at."""
    keys = [*written, *(key for key in KEPT if key not in written)]
    order = list(THOUGHT)
    return sorted(keys, key=lambda key: order.index(key) if key in THOUGHT else -1)


def _translate_key(key: str, draft: Draft) -> None:
    known = defaults(draft.trainer)
    if key not in known and key not in OWN:
        if key in draft.written:
            _unknown(key, draft)
        return
    value = draft.get(key)
    if key in THOUGHT:
        THOUGHT[key](value, draft)
    elif key in SAME:
        if value is not None or key in KEPT:
            draft.put(SAME[key], value, key)
    elif key in ONLY:
        possible, reason = ONLY[key]
        if value not in possible:
            draft.refuse(key, reason)
    elif key in DROPPED and value != known.get(key):
        draft.note(key, "dropped", DROPPED[key])


def _unknown(key: str, draft: Draft) -> None:
    others = [name for name in TRAINERS if key in defaults(name)]
    advice = choices(key, {*defaults(draft.trainer), *OWN})
    if others:
        advice = f"it is one of {' and '.join(others)}: write trl: {others[0]}"
    draft.note(key, "refused", f"it is no key of trl's {draft.trainer}.", advice)
