"""Images, videos and sounds: where they lie, how large they are shown, and which parts of a model learn from them."""

from __future__ import annotations

from typing import Any

from tunesmith.errors import TunesmithError
from tunesmith.traits import traits_of

from tunesmith_dialect_llamafactory.draft import Draft, listed
from tunesmith_dialect_llamafactory.installed import plugin

_PARTS = {
    "freeze_language_model": "language",
    "freeze_vision_tower": "tower",
    "freeze_multi_modal_projector": "projector",
}
"""Their switches, and what ours calls the parts that they are of."""


def media_dir(key: str, value: Any, draft: Draft) -> None:
    data = draft.config.get("data", {})
    entries = [entry for name in ("train", "eval") for entry in data.get(name, ())]
    if not entries:
        draft.note(key, "dropped", "no data set is named.")
    for entry in entries:
        entry["media_dir"] = str(value)


def limit(key: str, value: Any, draft: Draft) -> None:
    """A limit of resolution, which LLaMA-Factory has for all models that read such; ours leaves it to the model."""
    if key in draft.written or key.partition("_")[0] in _read_by(draft):
        draft.put(f"model.media.{key}", value, key)


def freeze(key: str, value: Any, draft: Draft) -> None:
    """A switch that freezes a part, of three that make one list of ours."""
    trained = [part for switch, part in _PARTS.items() if not draft.get(switch)]
    adapts = draft.get("finetuning_type") in ("lora", "oft")
    if "projector" in trained and adapts and listed(draft.get("lora_target")) == ["all"]:
        trained.remove("projector")
        if key == "freeze_multi_modal_projector":
            told = (
                "lora_target all has no layers of the projector there; adapter.towers=[language,projector] adapts them."
            )
            draft.note(key, "translated", told)
    if not trained:
        draft.refuse(key, "nothing is left to train.", "freeze_vision_tower: false, or freeze_language_model: false")
    elif trained != ["language"]:
        draft.put("adapter.towers", trained, key)


def _read_by(draft: Draft) -> tuple[str, ...]:
    """What the models of a template read beside text; nothing for a template that is not known."""
    name = str(draft.get("template") or "auto")
    try:
        facts = traits_of("template", plugin("template", name))
    except TunesmithError:  # that there is no such template is said elsewhere
        return ()
    return tuple(getattr(facts, "media", ()))
