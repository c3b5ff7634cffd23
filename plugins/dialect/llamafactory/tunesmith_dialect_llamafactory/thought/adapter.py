"""What is trained."""

from __future__ import annotations

from typing import Any

from tunesmith.errors import choices

from tunesmith_dialect_llamafactory.draft import Draft, listed

_TYPES = ("lora", "full", "freeze", "oft")


def finetuning_type(key: str, value: Any, draft: Draft) -> None:
    if value not in _TYPES:
        draft.refuse(key, "there is no such method.", choices(str(value), _TYPES))
    elif draft.command in ("train", "eval") or draft.get("adapter_name_or_path"):
        draft.put("adapter.name", value, key)


def adapter_name_or_path(key: str, value: Any, draft: Draft) -> None:
    if draft.get("finetuning_type") not in ("lora", "oft"):
        draft.refuse(key, "adapters are trained on with finetuning_type lora or oft.", "model_name_or_path: FOLDER")
        return
    adapters = listed(value)
    draft.put("adapter.name", draft.get("finetuning_type"), key)
    draft.put("adapter.path", adapters[0] if len(adapters) == 1 else adapters, key)


def pissa_init(key: str, value: Any, draft: Draft) -> None:
    if value:
        draft.put("adapter.init", "pissa", key)


def pissa_iter(key: str, value: Any, draft: Draft) -> None:
    draft.put("adapter.pissa_iterations", 0 if value == -1 else value, key)


def freeze_trainable_layers(key: str, value: Any, draft: Draft) -> None:
    draft.put("adapter.new_layers" if draft.get("use_llama_pro") else "adapter.trainable_layers", value, key)


def freeze_trainable_modules(key: str, value: Any, draft: Draft) -> None:
    modules = listed(value)
    if modules != ["all"]:
        draft.put("adapter.trainable_modules", modules, key)


def use_llama_pro(key: str, value: Any, draft: Draft) -> None:
    if value:
        draft.put("adapter.name", "llama_pro", key)
        reason = "the blocks are added by the run: give the model as it was before scripts/llama_pro.py."
        draft.note(key, "translated", reason)


def oft_rank(key: str, value: Any, draft: Draft) -> None:
    if value:
        draft.put("adapter.rank", value, key)


def oft_block_size(key: str, value: Any, draft: Draft) -> None:
    if draft.get("oft_rank"):
        draft.note(key, "dropped", "oft_rank is there, too, and counts.")
    elif value:
        draft.put("adapter.block_size", value, key)


def oft_target(key: str, value: Any, draft: Draft) -> None:
    if "lora_target" in draft.written:
        draft.note(key, "dropped", "lora_target is there, too, which is what LLaMA-Factory reads.")
    else:
        draft.put("adapter.target_modules", "all" if listed(value) == ["all"] else listed(value), key)
        if listed(value) != ["all"]:
            told = "it chooses the layers; LLaMA-Factory does not read it, and goes by lora_target, all by default."
            draft.note(key, "translated", told)
