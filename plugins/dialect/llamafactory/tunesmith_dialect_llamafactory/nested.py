"""The newer files, which nest what belongs together (`peft_config: {name: lora, r: 16}`), as flat ones.

What tutorials nest (`lora_config: {r: 64}`, `train: {…}`) becomes flat, too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tunesmith.errors import choices
from tunesmith.keys import Key
from tunesmith.types import Note
from tunesmith_library_configuration.spreading import several

from tunesmith_dialect_llamafactory.board import MARK, settings
from tunesmith_dialect_llamafactory.environment import gpus
from tunesmith_dialect_llamafactory.registries import entries_of

_NEWER = frozenset(
    (
        *("model", "model_class", "init_config", "peft_config", "kernel_config", "quant_config", "train_dataset"),
        *("micro_batch_size", "global_batch_size", "dist_config", "batching_strategy", "optim_config"),
        *("lr_scheduler_config", "cp_size", "cp_mode", "sample_backend"),
    )
)
"""Keys by which a newer file is known."""

_DEFAULTS: Mapping[str, Any] = {
    "finetuning_type": "full",
    "per_device_train_batch_size": 1,
    "learning_rate": 1e-4,
    "lr_scheduler_type": "constant",
    "logging_steps": 1,
}
"""What the newer files have by default, where the older ones have something else."""

_RENAMED = {
    "model": "model_name_or_path",
    "micro_batch_size": "per_device_train_batch_size",
    "enable_activation_checkpointing": "gradient_checkpointing",
    "sample_backend": "infer_backend",
    "batching_workers": "dataloader_num_workers",
}
_NONE = {
    "model_class": "the stage knows which model it needs.",
    "init_config": "weights are read where they are needed, which changes no number.",
    "save_ckpt_as_hf": "a run is always in the Hugging Face format.",
    "save_epochs": "write save_strategy: epoch.",
}
_LORA = {
    "r": "lora_rank",
    "rank": "lora_rank",
    "alpha": "lora_alpha",
    "dropout": "lora_dropout",
    "target_modules": "lora_target",
    "target": "lora_target",
    "modules_to_save": "additional_target",
}
_LORA_OWN = ("lora_rank", "lora_alpha", "lora_dropout", "lora_target", "use_rslora", "use_dora", "adapter_name_or_path")
_FREEZE = ("freeze_trainable_layers", "freeze_trainable_modules", "freeze_extra_modules")
_EXPORT = ("export_dir", "export_size", "infer_dtype", "export_hub_model_id")
_PLAIN = ("train", "training", "dataset_config", "data_config", "generate", "generation", "lora_config")
"""Mappings of tutorials' of which the keys are those of a flat file."""


@dataclass
class Flat:
    """A flat configuration."""

    values: dict[str, Any] = field(default_factory=dict)
    # of each key as it is written, where it is nested or renamed
    names: dict[str, str | Key] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)  # where they are not those of the table
    notes: list[Note] = field(default_factory=list)
    # keys of ours that the flat files have nothing for: value, and the name by which it is written
    ours: dict[str, tuple[Any, str]] = field(default_factory=dict)
    complete: bool = False  # whether every key is there, also those of what is off

    def put(self, key: str, value: Any, name: str | Key) -> None:
        self.values[key] = value
        if name != key:
            self.names[key] = name

    def refuse(self, name: str, reason: str, advice: str = "") -> None:
        self.notes.append(Note(name, "refused", reason, advice))


def flattened(config: Mapping[str, Any]) -> Flat:
    """The keys of a file side by side, each with the name by which it stands there."""
    if MARK in config:
        values, names, notes = settings(config)
        return Flat(values, dict(names), notes=notes, complete=True)
    flat = Flat(defaults=_DEFAULTS if _NEWER & config.keys() else {})
    for key, value in config.items():
        if key in _CONFIGS:
            if isinstance(value, Mapping) and value.get("name"):
                _CONFIGS[key](key, value, flat)
            elif value is not None:
                flat.refuse(key, "it is a mapping with a name.", f"{key}: {{name: ...}}")
        elif key in _PLAIN and isinstance(value, Mapping):
            for inner, item in value.items():
                name = str(inner)
                flat.put(_LORA.get(name, name) if key == "lora_config" else name, item, f"{key}.{name}")
        elif key in _NONE:
            if value is not None:
                flat.notes.append(Note(key, "dropped", _NONE[key]))
        elif key in _ALONE:
            _ALONE[key](key, value, flat, config)
        elif isinstance(key, str):
            flat.put(_RENAMED.get(key, key), value, key)
        else:  # YAML has other keys, too
            flat.put(str(key), value, Key(key))
    return flat


def _inner(key: str, value: Mapping[str, Any], flat: Flat, known: Mapping[str, str]) -> None:
    """The keys of a mapping under their flat names; "" leaves one out."""
    for inner, item in value.items():
        if inner == "name" or known.get(inner) == "":
            continue
        if inner in known:
            flat.put(known[inner], item, f"{key}.{inner}")
        else:
            flat.refuse(f"{key}.{inner}", f"it is no key of {key}.", choices(inner, known))


def _peft(key: str, value: Mapping[str, Any], flat: Flat) -> None:
    name = value["name"]
    if name not in ("lora", "freeze"):
        flat.refuse(f"{key}.name", f"{name} is no method.", choices(str(name), ("lora", "freeze")))
        return
    flat.put("finetuning_type", name, f"{key}.name")
    own = {**_LORA, **{inner: inner for inner in _LORA_OWN}} if name == "lora" else {inner: inner for inner in _FREEZE}
    _inner(key, value, flat, {**own, **{inner: inner for inner in _EXPORT}, "load_in_4bit": ""})


def _kernels(key: str, value: Mapping[str, Any], flat: Flat) -> None:
    if "liger" in str(value["name"]):
        flat.put("enable_liger_kernel", True, f"{key}.name")
    else:
        flat.notes.append(Note(key, "dropped", "torch's own kernels are taken; liger's are patch.liger."))


def _quantisation(key: str, value: Mapping[str, Any], flat: Flat) -> None:
    if value["name"] == "auto":
        flat.notes.append(Note(key, "dropped", "a model that is stored quantised says itself how."))
        return
    flat.put("quantization_method", value["name"], f"{key}.name")
    same = ("quantization_bit", "quantization_type", "double_quantization", "compute_dtype")
    _inner(key, value, flat, {inner: inner for inner in same})


def _distribution(key: str, value: Mapping[str, Any], flat: Flat) -> None:
    name = value["name"]
    if name == "deepspeed":
        flat.put("deepspeed", value.get("config_file"), f"{key}.config_file" if "config_file" in value else key)
    elif name not in ("fsdp2", "fsdpturbo"):
        flat.refuse(f"{key}.name", f"{name} is not there.", choices(str(name), ("fsdp2", "deepspeed")))
    elif several() or gpus(os.environ) > 1:
        flat.put("fsdp", "full_shard auto_wrap", f"{key}.name")
        if value.get("ep_size", 1) != 1:
            flat.ours["parallel.experts"] = (value["ep_size"], f"{key}.ep_size")
    else:
        flat.notes.append(Note(key, "dropped", "in one process there is nothing to shard; torchrun starts several."))


def _optimizer(key: str, value: Mapping[str, Any], flat: Flat) -> None:
    name = value["name"]
    if name == "muon":
        flat.put("use_muon", True, f"{key}.name")
        known = {
            "wd": "weight_decay",
            "weight_decay": "weight_decay",
            "lr": "learning_rate",
            "adamw_eps": "adam_epsilon",
        }
        own = ("momentum", "nesterov", "ns_steps")
        flat.ours |= {f"optimizer.{inner}": (value[inner], f"{key}.{inner}") for inner in own if inner in value}
        betas = value.get("adamw_betas")
        if isinstance(betas, list) and len(betas) == 2:
            for name_of_beta, beta in zip(("adam_beta1", "adam_beta2"), betas, strict=True):
                flat.put(name_of_beta, beta, f"{key}.adamw_betas")
        elif betas is not None:
            flat.refuse(f"{key}.adamw_betas", f"{betas!r} is no pair of numbers.", "adamw_betas: [0.9, 0.95]")
        _inner(key, value, flat, {**known, **dict.fromkeys((*own, "adamw_betas"), "")})
    else:
        flat.put("optim", name, f"{key}.name")
        _inner(key, value, flat, {"weight_decay": "weight_decay", "wd": "weight_decay", "lr": "learning_rate"})


def _schedule(key: str, value: Mapping[str, Any], flat: Flat) -> None:
    flat.put("lr_scheduler_type", value["name"], f"{key}.name")
    _inner(key, value, flat, {inner: inner for inner in ("warmup_steps", "warmup_ratio")})


def _context(key: str, value: Any, flat: Flat, config: Mapping[str, Any]) -> None:
    if value not in (None, 1):
        mode = str(config.get("cp_mode") or "ulysses")
        flat.ours["parallel.sequence"] = (mode, "cp_mode" if "cp_mode" in config else key)
        flat.ours["parallel.sequence_size"] = (value, key)
        spread = config.get("dist_config")
        named = str(spread.get("name")) if isinstance(spread, Mapping) else ""
        flat.ours["parallel.name"] = ("fsdp" if named.startswith("fsdp") else "ddp", key)


def _context_mode(key: str, value: Any, flat: Flat, config: Mapping[str, Any]) -> None:
    if value is not None and config.get("cp_size") in (None, 1):
        flat.notes.append(Note(key, "dropped", "it belongs to cp_size."))


def _batching(key: str, value: Any, flat: Flat, config: Mapping[str, Any]) -> None:
    reasons = {
        "normal": "batches without padding give the same numbers; trainer.padding_free=false pads.",
        "padding_free": "batches have no padding.",
        "dynamic_batching": "a batch has as many examples as it is told, whatever their length.",
        "dynamic_padding_free": "batches have no padding, and as many examples as they are told.",
    }
    if value in reasons:
        flat.notes.append(Note(key, "dropped", reasons[value]))
    elif value is not None:
        flat.refuse(key, f"{value} is no strategy.", choices(str(value), reasons))


def _all_batches(key: str, value: Any, flat: Flat, config: Mapping[str, Any]) -> None:
    """Examples of a step, over all processes: what is more than they take at a time is accumulated."""
    each = (config.get("micro_batch_size") or 1) * int(os.environ.get("WORLD_SIZE", "1"))
    if value and value % each:
        flat.refuse(key, f"{value} is no multiple of {each}, the examples at a time.", f"{key}: {each}")
    elif value:
        flat.put("gradient_accumulation_steps", value // each, key)


def _datasets(key: str, value: Any, flat: Flat, config: Mapping[str, Any]) -> None:
    entries, faults = entries_of(value) or (value, [])
    flat.put("eval_dataset" if key == "eval_dataset" else "dataset", entries, key)
    for fault in faults:
        flat.refuse(key, f"{fault}.", "write size beside it: how many examples are drawn before")


_CONFIGS: Mapping[str, Callable[[str, Mapping[str, Any], Flat], None]] = {
    "peft_config": _peft,
    "kernel_config": _kernels,
    "quant_config": _quantisation,
    "dist_config": _distribution,
    "optim_config": _optimizer,
    "lr_scheduler_config": _schedule,
}
_ALONE: Mapping[str, Callable[[str, Any, Flat, Mapping[str, Any]], None]] = {
    "cp_size": _context,
    "cp_mode": _context_mode,
    "batching_strategy": _batching,
    "global_batch_size": _all_batches,
    "train_dataset": _datasets,
    "eval_dataset": _datasets,
}
NESTED = frozenset((*_CONFIGS, *_ALONE, *_NONE, *_RENAMED, *_PLAIN))
"""Keys of the newer files, and those that tutorials nest."""
