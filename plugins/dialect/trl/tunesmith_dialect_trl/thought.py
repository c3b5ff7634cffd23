"""The keys of TRL that are not ours under another name: one small function each.

Each takes the value and the draft, in which it puts what it makes of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tunesmith.errors import choices

from tunesmith_dialect_trl.draft import Draft

DPO_LOSSES = {
    loss: loss
    for loss in (
        *("sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard"),
        *("apo_zero", "apo_down"),
    )
}
"""The losses of DPO that are ours, too."""

_TRACKERS = ("console", "jsonl", "plot")


def _mapping(value: Any, key: str, draft: Draft) -> dict[str, Any] | None:
    """A mapping, also one that is written as JSON; None, and a refusal, for anything else."""
    try:
        read = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        read = value
    if isinstance(read, Mapping):
        return dict(read)
    draft.refuse(key, "it is no mapping.")
    return None


# ---- model -----------------------------------------------------------------------------------------------------------


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


def _of_the_adapter(key: str, ours: str) -> Callable[[Any, Draft], None]:
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
        _of_the_adapter("lora_dropout", "dropout")(value, draft)


def disable_dropout(value: Any, draft: Draft) -> None:
    if value:  # of the model; that of the adapter: `lora_dropout`
        draft.note("disable_dropout", "translated", "models are loaded without dropout of their own where they say so.")


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


def _of_the_quantizer(key: str, ours: str) -> Callable[[Any, Draft], None]:
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


# ---- data ------------------------------------------------------------------------------------------------------------


def dataset_name(value: Any, draft: Draft) -> None:
    """One data set, and its other split to evaluate with."""
    if value is None:
        return
    if draft.get("datasets"):
        draft.note("dataset_name", "dropped", "datasets is there, too.")
        return
    entry = {"path": value, **_format(draft)}
    if draft.get("dataset_config"):
        entry["subset"] = draft.get("dataset_config")
    draft.put("data.train", [{**entry, **_split(draft, "dataset_train_split", "train")}], "dataset_name")
    if draft.get("eval_strategy") not in (None, "no", False):
        held_out = {**entry, "split": draft.get("dataset_test_split"), "name": draft.get("dataset_test_split")}
        source = "dataset_test_split" if "dataset_test_split" in draft.written else "eval_strategy"
        draft.put("data.eval", [held_out], source)


def _split(draft: Draft, key: str, usual: str) -> dict[str, Any]:
    return {} if draft.get(key) in (None, usual) else {"split": draft.get(key)}


def _format(draft: Draft) -> dict[str, Any]:
    """How records are laid out: as TRL has it, or texts where a field of texts is named."""
    field = draft.written.get("dataset_text_field")
    if draft.trainer != "sft" or field in (None, "messages"):
        return {"format": "openai"}
    return {"format": "text", **({} if field == "text" else {"columns": {"text": field}})}


def _with_dataset_name(value: Any, draft: Draft) -> None:
    """A key that `dataset_name` has taken along."""


def dataset_text_field(value: Any, draft: Draft) -> None:
    if "dataset_text_field" in draft.written and value != "messages":
        draft.put("stage.name", "pretrain", "dataset_text_field")
        draft.put("stage.packing", bool(draft.get("packing")), "packing")
        draft.put("stage.longer", "cut", "truncation_mode")
        reason = "texts are learned by stage=pretrain; for conversations leave it out."
        draft.note("dataset_text_field", "translated", reason)


def datasets(value: Any, draft: Draft) -> None:
    """A mixture: without fractions one data set after the other, with them until the first is used up."""
    if not value:
        return
    weighted = any(item.get("fraction") is not None for item in value)
    draft.put("data.train", [_entry(item, index, draft) for index, item in enumerate(value)], "datasets")
    if weighted:
        draft.put("data.mix", "interleave_under", "datasets")
        draft.note("datasets", "translated", "fractions are weights; the mixture ends with the first set used up.")


def _entry(item: Mapping[str, Any], index: int, draft: Draft) -> dict[str, Any]:
    key = f"datasets[{index}]"
    entry = {"path": _path(item, key, draft), **_format(draft)}
    known = {"path", "name", "data_dir", "data_files", "split", "columns", "fraction"}
    for name in item.keys() - known:
        draft.note(f"{key}.{name}", "refused", "it is no key of a data set of trl's.", choices(name, known))
    if item.get("name"):
        entry["subset"] = item["name"]
    if item.get("split") not in (None, "train"):
        entry["split"] = item["split"]
    if item.get("fraction") is not None:
        entry["weight"] = item["fraction"]
    return entry


def _path(item: Mapping[str, Any], key: str, draft: Draft) -> str:
    """Where a data set is: `data_files` of a loader such as `json`, or a folder of it."""
    path, files = str(item.get("path")), item.get("data_files")
    if isinstance(files, list) and len(files) == 1:
        files = files[0]
    if not (files is None or isinstance(files, str)):
        draft.note(f"{key}.data_files", "refused", "several files are several data sets.", "write one entry for each")
        return path
    parts = [item.get("data_dir"), files]
    if path not in ("json", "csv", "parquet", "text"):
        parts = [path, *parts]
    return "/".join(str(part).rstrip("/") for part in parts if part)


# ---- trainer ---------------------------------------------------------------------------------------------------------


def warmup_steps(value: Any, draft: Draft) -> None:
    """Below 1 it is a share of all steps."""
    if "warmup_ratio" in draft.written and "warmup_steps" not in draft.written:
        return
    if isinstance(value, int | float) and 1 <= value == int(value):
        draft.put("trainer.warmup_steps", int(value), "warmup_steps")
    else:
        draft.put("trainer.warmup_ratio", value, "warmup_steps")


def precision(value: Any, draft: Draft) -> None:
    """TRL computes in bf16 unless it is told otherwise; so does `auto` wherever the hardware can."""
    if draft.get("fp16"):
        draft.put("precision", "fp16", "fp16")
    elif draft.get("bf16"):
        draft.put("precision", "bf16", "bf16")
    elif draft.get("bf16") is False:
        draft.put("precision", "fp32", "bf16")


def lr_scheduler_kwargs(value: Any, draft: Draft) -> None:
    given = None if value is None else _mapping(value, "lr_scheduler_kwargs", draft)
    if given:
        draft.put("trainer.lr_scheduler_kwargs", given, "lr_scheduler_kwargs")


def fsdp_config(value: Any, draft: Draft) -> None:
    given = None if value is None else _mapping(value, "fsdp_config", draft)
    if given:
        draft.put("trainer.fsdp_config", given, "fsdp_config")


def deepspeed(value: Any, draft: Draft) -> None:
    if isinstance(value, Mapping):
        draft.refuse("deepspeed", "its configuration is a file.", "write it to a JSON file, and its path here")
    elif value is not None:
        draft.put("trainer.deepspeed", value, "deepspeed")


def optim_target_modules(value: Any, draft: Draft) -> None:
    if value is not None:
        draft.put("trainer.optim_target_modules", [value] if isinstance(value, str) else value, "optim_target_modules")


def resume_from_checkpoint(value: Any, draft: Draft) -> None:
    if value in (True, "true", "True"):
        draft.put("resume", True, "resume_from_checkpoint")
    elif value not in (None, False, "false", "False"):
        draft.refuse("resume_from_checkpoint", "a run goes on from its newest checkpoint.", "write resume=true")


def report_to(value: Any, draft: Draft) -> None:
    """Trackers beside those that are always there."""
    names = [value] if isinstance(value, str) else value or []
    others = [name for name in names if name not in ("none", "all")]
    if others:
        draft.put("tracker", {name: {} for name in (*_TRACKERS, *others)}, "report_to")


def use_liger_kernel(value: Any, draft: Draft) -> None:
    if value:
        draft.put("patch.liger", dict(draft.get("liger_kernel_config") or {}), "use_liger_kernel")


def liger_kernel_config(value: Any, draft: Draft) -> None:
    if value and not draft.get("use_liger_kernel"):
        draft.note("liger_kernel_config", "dropped", "it belongs to use_liger_kernel.")


def env(value: Any, draft: Draft) -> None:
    draft.note("env", "dropped", "a configuration changes no environment; set the variables in the shell.")


# ---- stages ----------------------------------------------------------------------------------------------------------


def max_length(value: Any, draft: Draft) -> None:
    if value is None:
        draft.refuse("max_length", "examples have a length that they are cut at.", "write max_length: NUMBER")
    else:
        draft.put("stage.max_length", value, "max_length")


def max_prompt_length(value: Any, draft: Draft) -> None:
    """Gone from TRL; ours still leaves out longer prompts where answers are drawn."""
    if draft.trainer in ("grpo", "rloo"):
        draft.put("stage.max_prompt_length", value, "max_prompt_length")
    else:
        draft.note("max_prompt_length", "dropped", "prompt and answer together are cut at max_length.")


def learned_tokens(value: Any, draft: Draft) -> None:
    """TRL learns whole conversations, or the assistant's turns; of a prompt and its completion the completion."""
    if draft.config.get("stage", {}).get("name") == "pretrain" or "dataset_text_field" in draft.written:
        return
    if draft.get("assistant_only_loss"):
        draft.put("stage.train_on_prompt", False, "assistant_only_loss")
    elif draft.get("completion_only_loss") is None:
        draft.put("stage.train_on_prompt", True, "assistant_only_loss")
        draft.say("assistant_only_loss", "not there: whole conversations are learned, as trl does it.")
    else:
        draft.put("stage.train_on_prompt", not draft.get("completion_only_loss"), "completion_only_loss")


def loss_type(value: Any, draft: Draft) -> None:
    if draft.trainer == "sft":
        if value == "dft":
            draft.put("loss", "dft", "loss_type")
        elif value not in ("nll", "chunked_nll"):
            draft.refuse("loss_type", "it is none of ours.", choices(str(value), ["nll", "dft"]))
    elif draft.trainer == "dpo":
        _dpo_losses([value] if isinstance(value, str) else list(value), draft)
    else:
        draft.put("stage.loss" if draft.trainer == "kto" else "stage.loss_type", value, "loss_type")


def _dpo_losses(losses: list[str], draft: Draft) -> None:
    """One loss, or one and the chosen answers' own beside it (`sft`), which is RPO."""
    weights = draft.get("loss_weights") or [1.0] * len(losses)
    by_name = dict(zip(losses, weights, strict=False))
    own = by_name.pop("sft", None)
    if len(weights) != len(losses) or len(by_name) != 1 or next(iter(by_name.values())) != 1:
        draft.refuse("loss_type", "one loss of weight 1 is possible, and sft beside it.", choices("", DPO_LOSSES))
        return
    (name,) = by_name
    if name not in DPO_LOSSES:
        draft.refuse("loss_type", "it is none of ours.", choices(str(name), DPO_LOSSES))
        return
    draft.put("stage.loss", DPO_LOSSES[name], "loss_type")
    if own is not None:
        draft.put("stage.rpo_alpha", own, "loss_weights" if "loss_weights" in draft.written else "loss_type")


def loss_weights(value: Any, draft: Draft) -> None:
    """`loss_type` has taken it along."""


def scale_rewards(value: Any, draft: Draft) -> None:
    said = {True: "group", False: "none", "True": "group", "False": "none"}
    draft.put("stage.scale_rewards", said.get(value, value), "scale_rewards")


# ---- rewards ---------------------------------------------------------------------------------------------------------

_THINK_FORMAT = r"<think>(?!.*<think>)(.*?)</think>.*"


def reward_funcs(value: Any, draft: Draft) -> None:
    for name in value or []:
        if name == "think_format_reward":
            draft.put("reward.format", {"pattern": _THINK_FORMAT}, "reward_funcs")
        else:
            draft.note(
                "reward_funcs",
                "refused",
                f"{name} cannot be had: a function of trl's is called with other arguments than ours.",
                "reward: [rewards.py:FUNCTION], or one of ours: tunesmith plugins show reward",
            )


def reward_model_name_or_path(value: Any, draft: Draft) -> None:
    if value is not None:
        draft.put("reward.model", {"path": value}, "reward_model_name_or_path")


def reward_weights(value: Any, draft: Draft) -> None:
    """In TRL's order: the reward model, then the functions."""
    rewards = [name for name in ("model", "format") if name in draft.config.get("reward", {})]
    if value is None:
        return
    if len(value) != len(rewards):
        draft.refuse("reward_weights", f"there are {len(rewards)} rewards.")
        return
    for name, weight in zip(rewards, value, strict=True):
        draft.put(f"reward.{name}.weight", weight, "reward_weights")


THOUGHT: dict[str, Callable[[Any, Draft], None]] = {
    "model_revision": model_revision,
    "dtype": dtype,
    "attn_implementation": attn_implementation,
    "use_peft": use_peft,
    "lora_r": _of_the_adapter("lora_r", "rank"),
    "lora_alpha": _of_the_adapter("lora_alpha", "alpha"),
    "lora_dropout": lora_dropout,
    "lora_target_modules": lora_target_modules,
    "lora_modules_to_save": _of_the_adapter("lora_modules_to_save", "modules_to_save"),
    "use_rslora": _of_the_adapter("use_rslora", "use_rslora"),
    "use_dora": _of_the_adapter("use_dora", "use_dora"),
    "disable_dropout": disable_dropout,
    "load_in_4bit": load_in_4bit,
    "load_in_8bit": load_in_8bit,
    "bnb_4bit_quant_type": _of_the_quantizer("bnb_4bit_quant_type", "quant_type"),
    "use_bnb_nested_quant": _of_the_quantizer("use_bnb_nested_quant", "double_quant"),
    "bnb_4bit_quant_storage": _of_the_quantizer("bnb_4bit_quant_storage", "storage"),
    "chat_template_path": chat_template_path,
    "dataset_name": dataset_name,
    "dataset_config": _with_dataset_name,
    "dataset_train_split": _with_dataset_name,
    "dataset_test_split": _with_dataset_name,
    "dataset_text_field": dataset_text_field,
    "datasets": datasets,
    "warmup_steps": warmup_steps,
    "bf16": precision,
    "fp16": precision,
    "lr_scheduler_kwargs": lr_scheduler_kwargs,
    "fsdp_config": fsdp_config,
    "deepspeed": deepspeed,
    "optim_target_modules": optim_target_modules,
    "resume_from_checkpoint": resume_from_checkpoint,
    "report_to": report_to,
    "use_liger_kernel": use_liger_kernel,
    "liger_kernel_config": liger_kernel_config,
    "env": env,
    "max_length": max_length,
    "max_prompt_length": max_prompt_length,
    "assistant_only_loss": learned_tokens,
    "completion_only_loss": learned_tokens,
    "loss_type": loss_type,
    "loss_weights": loss_weights,
    "scale_rewards": scale_rewards,
    "reward_funcs": reward_funcs,
    "reward_model_name_or_path": reward_model_name_or_path,
    "reward_weights": reward_weights,
}
"""The function of each key; those that take others along come before them."""
