"""What becomes of each key, from `keys.toml`, and the spellings of former versions."""

from __future__ import annotations

import functools
import importlib.resources
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One line of `keys.toml`, where the fields are explained."""

    key: str
    topic: str
    default: Any = None
    kept: bool | str = False
    of: tuple[str, ...] = ()
    ours: str = ""
    reads: str = ""  # `as` of the file
    by: str = ""
    means: str = ""
    only: tuple[Any, ...] | None = None
    why: str = ""
    advice: str = ""
    none: str = ""
    met: tuple[Any, ...] = ()


@functools.cache
def table() -> Mapping[str, Entry]:
    """The entries by their keys, in the order of the file, which is the order of translation."""
    text = importlib.resources.files("tunesmith_dialect_llamafactory").joinpath("keys.toml").read_text("utf-8")
    topics = tomllib.loads(text)
    return {key: _entry(key, topic, fields) for topic, keys in topics.items() for key, fields in keys.items()}


def _entry(key: str, topic: str, fields: dict[str, Any]) -> Entry:
    of = fields.pop("of", [])
    only, met = fields.pop("only", None), fields.pop("met", ())
    return Entry(
        key,
        topic,
        of=tuple([of] if isinstance(of, str) else of),
        only=None if only is None else tuple(only),
        met=tuple(met),
        reads=fields.pop("as", ""),
        **fields,
    )


OLD = {
    "checkpoint_dir": "adapter_name_or_path",
    "evaluation_strategy": "eval_strategy",
    "num_layer_trainable": "freeze_trainable_layers",
    "num_hidden_layers_trainable": "freeze_trainable_layers",
    "name_module_trainable": "freeze_trainable_modules",
    "lora_modules": "lora_target",
    "lora_modules_to_save": "additional_target",
    "dpo_beta": "pref_beta",
    "kto_beta": "pref_beta",
    "orpo_beta": "pref_beta",
    "dpo_loss": "pref_loss",
    "dpo_ftx": "pref_ftx",
    "kto_ftx": "pref_ftx",
    "ref_model_checkpoint": "ref_model_adapters",
    "reward_model_checkpoint": "reward_model_adapters",
    "sft_packing": "packing",
    "use_flash_attn": "flash_attn",
    "flash_attention": "flash_attn",
    "cache_path": "tokenized_path",
    "dev_ratio": "val_size",
    "system_prompt": "default_system",
    "image_resolution": "image_max_pixels",
    "video_resolution": "video_max_pixels",
    "use_cache": "use_kv_cache",
    "vllm_gpu_memory_utilization": "vllm_gpu_util",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    "torch_dtype": "infer_dtype",
    "quantization_bits": "quantization_bit",
    "load_best_model": "load_best_model_at_end",
    "use_mps_device": "device_map",
    "activation_checkpointing": "gradient_checkpointing",
    "activation_checkpointing_kwargs": "gradient_checkpointing_kwargs",
    "use_liger_kernel": "enable_liger_kernel",
}
"""Former names, and what tutorials write, which have the same values."""

VALUES: Mapping[str, Mapping[Any, Any]] = {
    "quantization_method": {"bitsandbytes": "bnb"},
    "infer_backend": {"hf": "huggingface", "transformers": "huggingface"},
    "flash_attn": {True: "fa2", False: "auto", "off": "disabled", "eager": "disabled", "flash_attention_2": "fa2"},
    "stage": {"pretrain": "pt", "reward": "rm"},
    "finetuning_type": {"none": "full"},
    "mixture_of_depths": {True: "convert", False: None},
    "rope_scaling": {"none": None},
    "eval_strategy": {False: "no", "none": "no"},
    "save_strategy": {False: "no", "none": "no"},
    "report_to": {False: "none"},
    "include_num_input_tokens_seen": {"all": True, "non_padding": True},
    "resume_from_checkpoint": {"null": None, "none": None, "None": None, "true": True, "True": True},
}
"""Former values, and those that YAML makes of words."""

GONE: Mapping[str, str] = {
    **dict.fromkeys(("ray_run_name", "ray_storage_path", "ray_storage_filesystem"), "a run is in its output_dir."),
    "resources_per_worker": "it is read with USE_RAY=1 alone.",
    "placement_strategy": "it is read with USE_RAY=1 alone.",
    **dict.fromkeys(("max_source_length", "max_target_length"), "write cutoff_len, the length of both together."),
    "reserved_label_len": "prompt and answer together are cut at cutoff_len.",
    "visual_inputs": "images are read where the rows have them.",
    "tokenizer_path": "a model's folder holds its tokenizer.",
    "ppo_logger": "trackers are told of every step.",
    "disable_version_checking": "versions are checked when packages are installed.",
    "dispatch_batches": "the loop sets it itself.",
    "split_batches": "the loop sets it itself.",
    "even_batches": "the loop sets it itself.",
    "overwrite_output": "write overwrite_output_dir.",
    "print_samples": "tunesmith data show FILE shows examples.",
}
"""Keys that LLaMA-Factory has no more, and why they mean nothing here."""

MESSAGES = (GONE,)
"""What is translated into the user's language."""
