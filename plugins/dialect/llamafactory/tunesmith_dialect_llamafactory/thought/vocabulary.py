"""Tokens that are added to the vocabulary, and where their embeddings start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith.errors import TunesmithError, choices
from tunesmith_library_configuration.reading import read_yaml

from tunesmith_dialect_llamafactory.draft import Draft, listed

_STARTS = {"noise_init": "noise", "desc_init": "description", "desc_init_w_noise": "description_noise"}
_ADDING = ("add_tokens", "add_special_tokens", "new_special_tokens_config")


def add_tokens(key: str, value: Any, draft: Draft) -> None:
    if key == "add_special_tokens" and draft.get("new_special_tokens_config"):
        draft.note(key, "dropped", "new_special_tokens_config is there, too, and counts.")
    else:
        _add(key, listed(value), draft)


def new_special_tokens_config(key: str, value: Any, draft: Draft) -> None:
    """A YAML file of token: description."""
    file = Path(str(value)).expanduser()
    if not file.is_file():
        beside = [path.name for path in file.parent.glob("*.y*ml")]
        draft.refuse(key, "there is no such file.", choices(file.name, beside, f"in {file.parent}"))
        return
    try:
        content, _ = read_yaml(file)
    except TunesmithError as error:
        draft.refuse(key, " ".join(str(error).split()), "TOKEN: what it stands for")
        return
    wrong = [str(token) for token, text in content.items() if not isinstance(text, str) or not text.strip()]
    if wrong or not content:
        draft.refuse(key, f"a description is a text, and {wrong[0] if wrong else 'no token'} has one that is not.")
        return
    _add(key, [str(token) for token in content], draft)
    draft.put("patch.new_tokens.descriptions", {str(token): text for token, text in content.items()}, key)


def init_special_tokens(key: str, value: Any, draft: Draft) -> None:
    if value not in _STARTS:
        draft.refuse(key, "there is no such start.", choices(str(value), _STARTS))
    elif not any(map(draft.get, _ADDING)):
        draft.note(key, "dropped", f"it belongs to {', '.join(_ADDING[:-1])} and {_ADDING[-1]}.")
    elif value != "noise_init" and not draft.get("new_special_tokens_config"):
        draft.note(
            key, "translated", "nothing is described, so rows start as with noise_init; LLaMA-Factory does so, too."
        )


def _add(key: str, tokens: Sequence[str], draft: Draft) -> None:
    """Add tokens, and have their rows trained where the method trains rows of its own."""
    kind = "tokens" if key == "add_tokens" else "special_tokens"
    draft.put(f"patch.new_tokens.{kind}", list(tokens), key)
    start = _STARTS.get(draft.get("init_special_tokens"), "noise")
    described = draft.get("new_special_tokens_config")
    draft.put("patch.new_tokens.start", start if described else "noise", "init_special_tokens")
    if draft.get("finetuning_type") == "lora":
        there = draft.config.get("adapter", {}).get("train_tokens", [])
        draft.put("adapter.train_tokens", [*there, *tokens], key)
    elif draft.get("finetuning_type") in ("oft", "freeze"):
        option = "additional_target" if draft.get("finetuning_type") == "oft" else "freeze_extra_modules"
        if not draft.get(option):
            draft.note(key, "translated", f"their rows are trained only with {option}: embed_tokens,lm_head.")
