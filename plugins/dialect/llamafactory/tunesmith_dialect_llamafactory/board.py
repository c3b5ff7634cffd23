"""LlamaBoard's saved settings (`llamaboard_config/NAME.yaml`): the state of its form, by the names of its elements."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from typing import Any, Literal

from tunesmith.errors import choices
from tunesmith.keys import Key
from tunesmith.types import Note
from tunesmith_library_configuration.models import known_models

from tunesmith_dialect_llamafactory.table import table

MARK = "top.model_name"
"""The element by which the settings are known."""

_STAGES = {
    "Supervised Fine-Tuning": "sft",
    "Reward Modeling": "rm",
    "PPO": "ppo",
    "DPO": "dpo",
    "KTO": "kto",
    "Pre-Training": "pt",
}
_RENAMED = {
    "batch_size": "per_device_train_batch_size",
    "neftune_alpha": "neftune_noise_alpha",
    "use_pissa": "pissa_init",
}
_NUMBERS = ("learning_rate", "num_train_epochs", "max_grad_norm")
_EMPTY: tuple[Any, ...] = ("", "none", None, [])
_OFF_AT_ZERO = ("neftune_alpha", "loraplus_lr_ratio", "val_size")
_SAYS_NOTHING = (
    *("lang", "hub_name", "config_path", "device_count", "model_path", "output_dir", "visual_inputs"),
    *("page_index", "preview_count", "preview_samples", "current_time"),  # of what the form shows beside
)
_SAID_WHEN_OFF = ("packing", "enable_thinking", "freeze_vision_tower", "freeze_multi_modal_projector")
_OF_EVERY_MODEL = {  # what the form holds where nobody touched it, also where the model sees nothing
    **{"image_max_pixels": 768 * 768, "image_min_pixels": 32 * 32},
    **{"video_max_pixels": 256 * 256, "video_min_pixels": 16 * 16},
}
_WITH_ADAPTERS = ("lora", "oft")
_BOOSTERS: Mapping[str, dict[str, Any]] = {
    "flashattn2": {"flash_attn": "fa2"},
    "unsloth": {"use_unsloth": True},
    "liger_kernel": {"enable_liger_kernel": True},
}


def settings(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Key], list[Note]]:
    """What the form would write into a flat file: values, the element of each, and notes on elements nobody knows."""
    values: dict[str, Any] = {"do_train": True}
    names: dict[str, Key] = {}
    notes: list[Note] = []
    for element, value in config.items():
        if element in table():  # of an override in its words, which counts over the form
            continue
        group, _, name = element.partition(".")
        if group not in ("top", "train"):
            notes.append(Note(Key(element), "dropped", "it is no setting of a training run."))
            continue
        if name in _SAYS_NOTHING or value in _EMPTY or (name in _OFF_AT_ZERO and not value):
            continue
        if value is False and name not in _SAID_WHEN_OFF:
            continue
        try:
            read = _read(name, value, config)
        except ValueError as error:
            notes.append(Note(Key(element), "refused", f"{value!r} cannot be read: {error}."))
            continue
        if read is None:
            known = [key for key in (*_RENAMED, *table()) if difflib.get_close_matches(name, [key], 1, 0.8)]
            near = choices(name, known) if known else ""
            outcome: Literal["refused", "dropped"] = "refused" if near else "dropped"
            notes.append(Note(Key(element), outcome, "it is no setting that is known.", near))
        values |= read or {}
        inside = name == "extra_args"  # a mapping that is written as JSON
        names |= {key: Key(element, key) if inside else Key(element) for key in read or {}}
    if values.get("val_size"):
        size = values.get("per_device_train_batch_size", 2)
        more = {"eval_strategy": "steps", "eval_steps": values.get("save_steps", 100)}
        values |= {**more, "per_device_eval_batch_size": size}
        names |= dict.fromkeys((*more, "per_device_eval_batch_size"), Key("train.val_size"))
    if "quantization_bit" in values:
        values["double_quantization"] = True
        names["double_quantization"] = Key("top.quantization_bit")
    if values.get("stage") == "ppo":
        sampled = {"top_k": 0, "top_p": 0.9}
        values |= sampled
        names |= dict.fromkeys(sampled, Key("train.training_stage"))
    if not _has_adapters(config) and "adapter_name_or_path" in values:
        values["model_name_or_path"] = values.pop("adapter_name_or_path")
        names["model_name_or_path"] = names.pop("adapter_name_or_path")
    overrides = {element: value for element, value in config.items() if element in table()}
    return {**values, **overrides}, names | {element: Key(element) for element in overrides}, notes


def _read(name: str, value: Any, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The flat keys of one element; None for one that nobody knows."""
    if name == "model_name":
        return {"model_name_or_path": _model(str(value), config)}
    if name == "training_stage":
        return {"stage": _STAGES.get(value, value)}
    if name == "compute_type":
        return {value: True} if value in ("bf16", "fp16", "pure_bf16") else {"bf16": False}
    if name == "booster":
        return dict(_BOOSTERS.get(value, {}))
    if name in ("checkpoint_path", "reward_model"):
        folder = f"saves/{config.get(MARK)}/{config.get('top.finetuning_type', 'lora')}"
        chosen = value if isinstance(value, list) else [value]
        key = "adapter_name_or_path" if name == "checkpoint_path" else name
        return {key: ",".join(f"{folder}/{one}" for one in chosen)}
    if name == "ds_stage":
        offload = "offload_" if config.get("train.ds_offload") else ""
        return {"deepspeed": f"llamaboard_cache/ds_z{value}_{offload}config.json"}
    if name == "ds_offload":
        return {}
    if name == "extra_args":
        read: dict[str, Any] = json.loads(value)
        return read
    if name == "report_to" and isinstance(value, bool):
        return {name: "all" if value else "none"}
    key = _RENAMED.get(name, name)
    if key not in table():
        return None
    read_value = float(value) if name in _NUMBERS else _whole(value)
    return {} if _OF_EVERY_MODEL.get(key) == read_value else {key: read_value}


def _has_adapters(config: Mapping[str, Any]) -> bool:
    """Whether a checkpoint of the form is an adapter, and not a whole model."""
    return config.get("top.finetuning_type", "lora") in _WITH_ADAPTERS


def _model(name: str, config: Mapping[str, Any]) -> str:
    """The model of a name in the board's list.

    Raises: ValueError where it is in no installed `models.yaml`, or its path is not among the settings.
    """
    if "model_name_or_path" in config:
        return str(config["model_name_or_path"])
    if path := config.get("top.model_path"):  # the board leaves it out where it saves, and trains it where it is
        return str(path)
    if name == "Custom":
        raise ValueError("the path of a model of one's own is not saved; write model_name_or_path=FOLDER")
    if name not in known_models():
        raise ValueError("no installed models.yaml knows a model of that name; write model_name_or_path=ORG/NAME")
    return name


def _whole(value: Any) -> Any:
    """A number that the form holds as a text, which may be a product, `768*768`."""
    factors = [factor.strip() for factor in value.split("*")] if isinstance(value, str) else [""]
    return math.prod(map(int, factors)) if all(map(str.isdecimal, factors)) else value
