"""Values as they are meant: switches, numbers and words, however a file or a flag writes them."""

from __future__ import annotations

from typing import Any

from tunesmith_dialect_llamafactory.table import VALUES, Entry, table

_SWITCHES = {
    **dict.fromkeys(("true", "yes", "on", "y", "t", "1"), True),
    **dict.fromkeys(("false", "no", "off", "n", "f", "0"), False),
}
"""What is true and false in a file of YAML 1.1 and on a command line of theirs."""

_SWITCHES_WITHOUT_DEFAULT = ("bf16", "fp16", "packing", "enable_thinking", "preserve_thinking", "split_special_tokens")
_NUMBERS_WITHOUT_DEFAULT = (
    *("quantization_bit", "warmup_ratio", "max_samples", "preprocessing_num_workers", "lora_alpha", "eval_steps"),
    *("loraplus_lr_ratio", "save_total_limit", "early_stopping_steps", "neftune_noise_alpha", "moe_aux_loss_coef"),
    *("ld_alpha", "badam_start_block", "export_quantization_bit"),
)
_TEXTS = (
    *("model_name_or_path", "adapter_name_or_path", "template", "dataset", "eval_dataset", "output_dir", "export_dir"),
    *("tokenized_path", "media_dir", "cache_dir", "default_system", "tool_format", "interleave_probs", "ref_model"),
    *("ref_model_adapters", "reward_model", "reward_model_adapters", "add_tokens", "add_special_tokens", "deepspeed"),
    *("additional_target", "freeze_extra_modules", "metric_for_best_model", "optim_args", "config_file", "run_name"),
)
"""Keys without a default that are texts, or lists of them."""
_LISTS = ("freeze_trainable_modules", "oft_target")
"""Keys with a word as default that may be a list of words."""


def meant(key: str, value: Any) -> Any:
    """What a value of a key is: `yes` a switch, `"1e-4"` a number, `None` nothing; others stay as they are."""
    entry = table().get(key)
    if entry is None:
        return value
    if _is_switch(entry):
        other = VALUES.get(key, {}).get(value, value) if isinstance(value, str) else value
        return _SWITCHES.get(str(value).lower(), None if value in ("None", "null", "none") else other)
    if _is_number(entry) and isinstance(value, str):
        return None if value.lower() in ("", "none", "null") else _number(value)
    if value in ("None", "null"):
        return None
    try:
        return VALUES.get(key, {}).get(value, value)
    except TypeError:  # a list or a mapping
        return value


def unfit(entry: Entry, value: Any) -> str:
    """Why a value cannot be one of its key; "" where it can."""
    if value is None:
        return ""
    if _is_switch(entry) and not isinstance(value, bool):
        return "it is true or false."
    if _is_number(entry) and (isinstance(value, bool) or not isinstance(value, int | float)):
        return "it is no number."
    if isinstance(value, bool) and (isinstance(entry.default, str) or entry.key in _TEXTS):
        return "it is a text, and a flag of it needs one."
    if isinstance(entry.default, str) and isinstance(value, list | dict) and not (entry.reads or entry.key in _LISTS):
        return "it is one word."
    return ""


def _is_switch(entry: Entry) -> bool:
    return isinstance(entry.default, bool) or entry.key in _SWITCHES_WITHOUT_DEFAULT


def _is_number(entry: Entry) -> bool:
    number = isinstance(entry.default, int | float) and not isinstance(entry.default, bool)
    return number or entry.key in _NUMBERS_WITHOUT_DEFAULT


def _number(text: str) -> Any:
    """The number that a text writes; the text where it writes none."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
