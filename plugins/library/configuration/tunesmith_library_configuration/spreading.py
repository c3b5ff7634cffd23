"""How transformers and accelerate write that a model is spread over processes, as options of our plugins: for dialects.

Both write FSDP as words (`full_shard auto_wrap`) and a mapping (`fsdp_config`), in which keys may begin with `fsdp_`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tunesmith_library_configuration.errors import choices


@dataclass
class Spread:
    """Our options, and what is said of keys that are none."""

    options: dict[str, Any] = field(default_factory=dict)  # by their whole keys: parallel.name, parallel.replicas
    sources: dict[str, str] = field(default_factory=dict)  # the foreign key that each came from, as it is written
    dropped: list[tuple[str, str]] = field(default_factory=list)  # keys, and why they mean nothing
    refused: list[tuple[str, str, str]] = field(default_factory=list)  # keys, why they cannot be had, and advice

    def put(self, ours: str, value: Any, theirs: str) -> None:
        self.options[ours] = value
        self.sources[ours] = theirs


_STRATEGIES = ("full_shard", "shard_grad_op", "no_shard", "hybrid_shard", "hybrid_shard_zero2")
"""In the order in which accelerate also counts them, from 1."""
_KEEPS = ("shard_grad_op", "hybrid_shard_zero2")  # a layer's weights from the forward pass to the backward pass
_RENAMED = {
    "transformer_layer_cls_to_wrap": "wrap",
    "min_num_params": "min_num_params",
    "offload_params": "cpu_offload",
    "cpu_offload": "cpu_offload",
}
_CHECKPOINTS = {"SHARDED_STATE_DICT": "sharded", "LOCAL_STATE_DICT": "sharded", "FULL_STATE_DICT": "whole"}
_DONE = "FSDP 2 is what runs, which has no such choice."
_NONE = {
    **dict.fromkeys(("version", "use_orig_params", "backward_prefetch", "backward_prefetch_policy"), _DONE),
    **dict.fromkeys(("forward_prefetch", "limit_all_gathers", "auto_wrap_policy", "device_mesh_size"), _DONE),
    "sync_module_states": "every process reads the same weights.",
    "cpu_ram_efficient_loading": "weights are mapped from their file, of which a machine holds one copy.",
    "mixed_precision_policy": "write bf16, fp16 or neither.",
    **dict.fromkeys(("xla", "xla_fsdp_v2", "xla_fsdp_settings", "xla_fsdp_grad_ckpt"), "it is about TPUs."),
}


def fsdp(words: Iterable[str], config: Mapping[str, Any], word_key: str, config_key: str, machines: int = 1) -> Spread:
    """Options of `parallel=fsdp`.

    Args:
        words: transformers' argument `fsdp`: a strategy, `auto_wrap`, `offload`.
        config: transformers' or accelerate's mapping.
        word_key, config_key: where they are written; an empty one for keys that stand alone.
        machines: of the run; a hybrid strategy has a copy of the model on each.
    """
    made = Spread()
    made.put("parallel.name", "fsdp", word_key or config_key)
    for word in (str(word).lower() for word in words):
        if word == "offload":
            made.put("parallel.cpu_offload", True, word_key)
        elif word != "auto_wrap":
            _strategy(word, word_key, machines, made)
    for key, value in config.items():
        written = f"{config_key}.{key}" if config_key else str(key)
        _option(str(key).removeprefix("fsdp_"), value, written, machines, made)
    return made


def _strategy(said: Any, key: str, machines: int, made: Spread) -> None:
    name = _STRATEGIES[said - 1] if isinstance(said, int) and 0 < said <= len(_STRATEGIES) else str(said).lower()
    if name in ("true", "1"):  # what newer versions of transformers write in place of the strategy
        return
    if name not in _STRATEGIES:
        made.refused.append((key, f"{said} is no way to spread weights.", choices(name, _STRATEGIES)))
    elif name == "no_shard":
        made.put("parallel.name", "ddp", key)
    else:
        if name in _KEEPS:
            made.put("parallel.reshard_after_forward", False, key)
        if name.startswith("hybrid") and machines > 1:
            made.put("parallel.replicas", machines, key)


def _option(key: str, value: Any, written: str, machines: int, made: Spread) -> None:
    """One key of the mapping, without `fsdp_`."""
    if value is None or value == "":
        return
    if key == "sharding_strategy" or (key == "reshard_after_forward" and not isinstance(value, bool)):
        _strategy(value, written, machines, made)
    elif key == "reshard_after_forward":
        made.put("parallel.reshard_after_forward", value, written)
    elif key in _RENAMED:
        ours = _RENAMED[key]
        value = _listed(value) if ours == "wrap" else value
        if value:
            made.put(f"parallel.{ours}", value, written)
    elif key == "state_dict_type" and str(value).upper() in _CHECKPOINTS:
        made.put("parallel.checkpoints", _CHECKPOINTS[str(value).upper()], written)
    elif key == "activation_checkpointing":
        if value:
            made.put("trainer.gradient_checkpointing", True, written)
    elif key in _NONE:
        made.dropped.append((written, _NONE[key]))
    else:
        known = ("sharding_strategy", "reshard_after_forward", "state_dict_type", "activation_checkpointing")
        made.refused.append((written, "FSDP has no such option.", choices(key, (*known, *_RENAMED, *_NONE))))


def _listed(value: Any) -> list[str]:
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else list(value)


_ZERO = {
    "deepspeed_config_file": "config",
    "zero_stage": "stage",
    "offload_optimizer_device": "offload_optimizer",
    "offload_param_device": "offload_param",
    "offload_optimizer_nvme_path": "nvme_path",
    "offload_param_nvme_path": "nvme_path",
}
_NO_ZERO = {
    "gradient_accumulation_steps": "the run's own counts.",
    "gradient_clipping": "max_grad_norm of the run counts.",
    "zero3_init_flag": "weights are spread while they are loaded, in stage 3.",
    "zero3_save_16bit_model": "a run's result is always whole.",
    "deepspeed_multinode_launcher": "the command is given on each machine.",
    **dict.fromkeys(("deepspeed_hostfile", "deepspeed_exclusion_filter"), "the command is given on each machine."),
    **dict.fromkeys(("deepspeed_inclusion_filter", "deepspeed_moe_layer_cls_names"), "it is found out."),
}


def deepspeed(config: Mapping[str, Any], key: str) -> Spread:
    """Options of `parallel=deepspeed`. Args: config, key: accelerate's `deepspeed_config`, and where it is written."""
    made = Spread()
    made.put("parallel.name", "deepspeed", key)
    for name, value in config.items():
        if name in _ZERO:
            if value not in (None, "none"):
                made.put(f"parallel.{_ZERO[name]}", value, f"{key}.{name}")
        elif name in _NO_ZERO:
            made.dropped.append((f"{key}.{name}", _NO_ZERO[name]))
        else:
            reason = "accelerate has no such key."
            made.refused.append((f"{key}.{name}", reason, choices(str(name), (*_ZERO, *_NO_ZERO))))
    return made


def several(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment speaks of more than one process: a launcher's, or what asks for one."""
    counts = (environment.get(name, "1") for name in ("WORLD_SIZE", "NPROC_PER_NODE", "NNODES"))
    return any(count != "1" for count in counts)
