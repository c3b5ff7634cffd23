"""The model, its numbers and its adapter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tunesmith_dialect_trl.draft import Draft


def model_revision(value: Any, draft: Draft) -> None:
    if value not in (None, "main"):
        draft.put("model.revision", value, "model_revision")


def dtype(value: Any, draft: Draft) -> None:
    """Numbers of the weights: of those that are trained they are an option, frozen ones have the run's precision."""
    if draft.get("use_peft"):
        draft.note("dtype", "dropped", "weights under an adapter are held in the run's precision.")
    elif value not in (None, "float32"):
        draft.put("adapter.dtype", value, "dtype")


def attn_implementation(value: Any, draft: Draft) -> None:
    if value is None:
        return
    if "/" in value:
        kernels = {"implementation": "kernels", "kernel": value}
        draft.put("patch.flash_attention", kernels, "attn_implementation")
    else:
        draft.put("model.attention", value, "attn_implementation")


def use_peft(value: Any, draft: Draft) -> None:
    draft.put("adapter.name", "lora" if value else "full", "use_peft")


def of_the_adapter(key: str, ours: str) -> Callable[[Any, Draft], None]:
    def translate(value: Any, draft: Draft) -> None:
        if not draft.get("use_peft"):
            draft.note(key, "dropped", "without use_peft all weights are trained.")
        elif value is not None:
            draft.put(f"adapter.{ours}", value, key)

    return translate


def lora_dropout(value: Any, draft: Draft) -> None:
    if draft.get("use_peft") and draft.get("disable_dropout"):
        draft.put("adapter.dropout", 0.0, "disable_dropout")
        draft.note("lora_dropout", "dropped", f"trl's {draft.trainer} disables dropout, that of adapters too.")
    else:
        of_the_adapter("lora_dropout", "dropout")(value, draft)


def disable_dropout(value: Any, draft: Draft) -> None:
    if value:  # of the model; that of the adapter: `lora_dropout`
        draft.note(
            "disable_dropout", "translated", "that of adapters is off; a model's own is as its config.json has it."
        )


def lora_target_modules(value: Any, draft: Draft) -> None:
    if not draft.get("use_peft"):
        draft.note("lora_target_modules", "dropped", "without use_peft all weights are trained.")
    elif value is None:
        draft.put("adapter.target_modules", ["q_proj", "v_proj"], "use_peft")
        draft.say("lora_target_modules", "not there: q_proj and v_proj, as peft has it for most models.")
    else:
        modules = [value] if isinstance(value, str) else value
        everything = modules == ["all-linear"]
        draft.put("adapter.target_modules", "all" if everything else modules, "lora_target_modules")


def load_in_4bit(value: Any, draft: Draft) -> None:
    if value:
        draft.put("quantizer", {"name": "bitsandbytes", "bits": 4}, "load_in_4bit")


def load_in_8bit(value: Any, draft: Draft) -> None:
    if value:
        draft.put("quantizer", {"name": "bitsandbytes", "bits": 8}, "load_in_8bit")


def of_the_quantizer(key: str, ours: str) -> Callable[[Any, Draft], None]:
    def translate(value: Any, draft: Draft) -> None:
        if not draft.get("load_in_4bit"):
            draft.note(key, "dropped", "it belongs to load_in_4bit.")
        elif value is not None:
            draft.put(f"quantizer.{ours}", value, key)

    return translate


def chat_template_path(value: Any, draft: Draft) -> None:
    if value is None:
        return
    if str(value).endswith((".jinja", ".jinja2")):
        draft.put("template", {"name": "auto", "file": value}, "chat_template_path")
    else:
        draft.refuse("chat_template_path", "a template is a Jinja file, or one of ours.", "template=NAME")
