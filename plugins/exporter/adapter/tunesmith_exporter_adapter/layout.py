"""What an adapter's folder holds, and what of it programs other than PEFT serve."""

from __future__ import annotations

from typing import Any

from tunesmith_library_chat import tokenizer_of

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def limits_of_servers(config: dict[str, Any]) -> list[str]:
    """What of an adapter programs other than PEFT do not serve, in words. It was written without vLLM at hand."""
    found = []
    if config.get("peft_type") != "LORA":
        found.append(f"adapters of type {config.get('peft_type')}")
    if config.get("use_dora"):
        found.append("DoRA")
    if config.get("modules_to_save"):
        found.append(f"modules that are trained whole ({', '.join(config['modules_to_save'])})")
    if config.get("trainable_token_indices"):
        found.append("trained rows of embeddings")
    if config.get("bias", "none") != "none":
        found.append("trained biases")
    if config.get("target_parameters"):
        found.append("adapters of fused experts")
    return found


def rows_of(processor: Any) -> int:
    """How many tokens a tokenizer knows."""
    return len(tokenizer_of(processor))
