"""The keys of TRL that are not ours under another name: one small function each.

Each takes the value and the draft, in which it puts what it makes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tunesmith_dialect_trl.draft import Draft
from tunesmith_dialect_trl.thought import data, model, objective, training

THOUGHT: dict[str, Callable[[Any, Draft], None]] = {
    "model_revision": model.model_revision,
    "dtype": model.dtype,
    "attn_implementation": model.attn_implementation,
    "use_peft": model.use_peft,
    "lora_r": model.of_the_adapter("lora_r", "rank"),
    "lora_alpha": model.of_the_adapter("lora_alpha", "alpha"),
    "lora_dropout": model.lora_dropout,
    "lora_target_modules": model.lora_target_modules,
    "lora_modules_to_save": model.of_the_adapter("lora_modules_to_save", "modules_to_save"),
    "use_rslora": model.of_the_adapter("use_rslora", "use_rslora"),
    "use_dora": model.of_the_adapter("use_dora", "use_dora"),
    "disable_dropout": model.disable_dropout,
    "load_in_4bit": model.load_in_4bit,
    "load_in_8bit": model.load_in_8bit,
    "bnb_4bit_quant_type": model.of_the_quantizer("bnb_4bit_quant_type", "quant_type"),
    "use_bnb_nested_quant": model.of_the_quantizer("use_bnb_nested_quant", "double_quant"),
    "bnb_4bit_quant_storage": model.of_the_quantizer("bnb_4bit_quant_storage", "storage"),
    "chat_template_path": model.chat_template_path,
    "dataset_name": data.dataset_name,
    "dataset_config": data.with_dataset_name,
    "dataset_train_split": data.with_dataset_name,
    "dataset_test_split": data.with_dataset_name,
    "dataset_text_field": data.dataset_text_field,
    "datasets": data.datasets,
    "warmup_steps": training.warmup_steps,
    "bf16": training.precision,
    "fp16": training.precision,
    "lr_scheduler_kwargs": training.lr_scheduler_kwargs,
    "fsdp": training.fsdp,
    "fsdp_config": training.fsdp_config,
    "deepspeed": training.deepspeed,
    "optim_target_modules": training.optim_target_modules,
    "resume_from_checkpoint": training.resume_from_checkpoint,
    "report_to": training.report_to,
    "run_name": training.run_name,
    "project": training.of_trackio("project", "project"),
    "trackio_space_id": training.of_trackio("trackio_space_id", "space_id"),
    "trackio_bucket_id": training.of_trackio("trackio_bucket_id", "bucket_id"),
    "use_liger_kernel": training.use_liger_kernel,
    "liger_kernel_config": training.liger_kernel_config,
    "env": training.env,
    "max_length": objective.max_length,
    "max_prompt_length": objective.max_prompt_length,
    "assistant_only_loss": objective.learned_tokens,
    "completion_only_loss": objective.learned_tokens,
    "loss_type": objective.loss_type,
    "loss_weights": objective.loss_weights,
    "scale_rewards": objective.scale_rewards,
    "reward_funcs": objective.reward_funcs,
    "reward_model_name_or_path": objective.reward_model_name_or_path,
    "reward_weights": objective.reward_weights,
}
"""The function of each key; those that take others along come before them."""
