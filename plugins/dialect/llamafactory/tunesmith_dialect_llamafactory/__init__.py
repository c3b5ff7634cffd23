"""LLaMA-Factory's configurations, flags and commands: what `llamafactory-cli train x.yaml` reads is read as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.kinds import CONFIGURED
from tunesmith.types import Note, Translation

_SHARED = ("stage", "template", "model")
"""Kinds of ours that are keys of theirs, too, and hold a name there."""

_COMMON = frozenset(("model_name_or_path", "lora_alpha", "lora_dropout", "use_rslora", "use_dora"))
"""Claimed keys that other programs have, too."""

_OF_LAUNCHERS = {
    "distributed_type": ("accelerate's file of how processes start", "tunesmith train RUN.yaml config_file=THIS.yaml"),
    "zero_optimization": ("DeepSpeed's file", "tunesmith train RUN.yaml deepspeed=THIS.json"),
}
"""Keys by which files are known that stand beside LLaMA-Factory's examples and are not of a run."""


@plugin
class LlamaFactory:
    """Reads the YAML and JSON files of LLaMA-Factory, the newer nested ones too, and what old tutorials have."""

    claims: ClassVar[frozenset[str]] = _COMMON | frozenset(
        (
            *("finetuning_type", "adapter_name_or_path", "checkpoint_dir", "dataset", "dataset_dir", "cutoff_len"),
            *("do_train", "do_predict", "overwrite_cache", "preprocessing_num_workers", "quantization_bit"),
            *("quantization_method", "lora_rank", "lora_target", "lora_config", "freeze_trainable_layers"),
            *("freeze_trainable_modules", "use_llama_pro", "oft_block_size", "pissa_init", "additional_target"),
            *("infer_backend", "infer_dtype", "export_dir", "export_size", "export_device", "pure_bf16", "plot_loss"),
            *("pref_beta", "pref_loss", "reward_model", "neat_packing", "train_on_prompt", "mask_history"),
            *("flash_attn", "use_galore", "use_apollo", "use_badam", "use_muon", "use_adam_mini", "use_dft_loss"),
            *("use_asft_loss", "use_eaft_loss", "enable_liger_kernel", "use_unsloth", "tokenized_path", "val_size"),
            *("max_samples", "eval_dataset", "ddp_timeout", "save_only_model", "overwrite_output_dir"),
            *("peft_config", "dist_config", "kernel_config", "quant_config", "init_config", "train_dataset"),
            *("batching_strategy", "micro_batch_size", "global_batch_size", "model_class", "sample_backend"),
            *("top.model_name", "top.finetuning_type", "train.training_stage"),
        )
    )

    @staticmethod
    def knows(key: str) -> bool:
        """Whether a flag of this name is one of theirs."""
        from tunesmith_dialect_llamafactory.translating import knows

        return knows(key)

    @hookimpl
    def translate_config(self, config: Mapping[str, Any]) -> Translation | None:
        ours = {key for key in config.keys() & CONFIGURED.keys() if key not in _SHARED or isinstance(config[key], dict)}
        claimed = self.claims & config.keys()
        named = "model_name_or_path" in config or isinstance(config.get("model"), str)
        if not ours and not claimed and config.keys() & _OF_LAUNCHERS.keys():
            return _refused_launcher(config)
        if ours or not claimed or not (named or len(claimed) > 1):
            return None
        from tunesmith_dialect_llamafactory.translating import knows_all, translate

        if claimed <= _COMMON and not knows_all(config):
            return None
        return translate(config)


def _refused_launcher(config: Mapping[str, Any]) -> Translation:
    key = next(key for key in _OF_LAUNCHERS if key in config)
    what, advice = _OF_LAUNCHERS[key]
    return Translation({}, notes=(Note(key, "refused", f"it is {what}, not of a run.", advice),))
