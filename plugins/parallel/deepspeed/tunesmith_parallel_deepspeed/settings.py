"""DeepSpeed's configuration from the plugin's options and a file; free of torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from . import Deepspeed

Device = Literal["none", "cpu", "nvme"]

ZERO = "zero_optimization"
OFFLOADS = ("offload_optimizer", "offload_param")
TUNED = (
    *("overlap_comm", "contiguous_gradients", "reduce_bucket_size", "allgather_bucket_size"),
    *("stage3_prefetch_bucket_size", "stage3_param_persistence_threshold", "stage3_max_live_parameters"),
    *("stage3_max_reuse_distance", "sub_group_size", "zero_hpz_partition_size"),
)
"""Options that are keys of `zero_optimization` as they are."""

_STAGE = 2
_FROM_WIDTH = {
    "reduce_bucket_size": 1,
    "stage3_prefetch_bucket_size": 3,
    "stage3_param_persistence_threshold": 3,
}
"""What transformers takes from the model's width where it is `auto`, and from which stage on it means anything."""

LEFT_OUT = {
    "tensor_parallel": "parallel=fsdp parallel.tensor=N spreads layers",
    "expert_parallel": "parallel=fsdp parallel.experts=N spreads experts",
    "pipeline": "weights are shared with parallel.stage=3",
    "sequence_parallel_size": "parallel.sequence of parallel=fsdp spreads sequences",
    "curriculum_learning": "trainer.train_sampling_strategy orders the examples",
    "data_efficiency": "trainer.train_sampling_strategy orders the examples",
    "compression_training": "a quantizer stores weights in fewer bits",
    "quantize_training": "a quantizer stores weights in fewer bits",
    "weight_quantization": "a quantizer stores weights in fewer bits",
    "amp": "precision says in which numbers is computed",
    "elasticity": "a run goes on from its last checkpoint with any number of processes",
    **dict.fromkeys(
        ("sparse_gradients", "sparse_attention", "eigenvalue", "progressive_layer_drop", "graph_harvesting", "nebula"),
        "DeepSpeed has removed it",
    ),
}
"""Parts that would train otherwise than one process does, or that newer DeepSpeeds refuse: they may be switched off."""


def told(options: Deepspeed) -> dict[str, Any]:
    """What the user's file says; {} where there is none, or none that can be read, which `check` tells."""
    if options.config is None:
        return {}
    try:
        read = json.loads(Path(options.config).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def zero_of(file: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that is about ZeRO."""
    found = file.get(ZERO)
    return dict(found) if isinstance(found, dict) else {}


def device_in(zero: Mapping[str, Any], offload: str) -> str | None:
    """Where a file offloads to; None where it does not say."""
    found = zero.get(offload)
    return str(found.get("device", "none")) if isinstance(found, dict) else None


def stage_of(options: Deepspeed) -> int:
    """What is shared: the option's, the file's, or 2."""
    if options.stage is not None:
        return options.stage
    if options.config is None:
        return _STAGE
    stage = zero_of(told(options)).get("stage", 0)  # DeepSpeed's own default
    return stage if isinstance(stage, int) else _STAGE


def offloaded(options: Deepspeed, offload: str) -> str:
    """Where optimizer states or weights are: none, cpu, nvme."""
    return getattr(options, offload) or device_in(zero_of(told(options)), offload) or "none"


def configuration(options: Deepspeed) -> dict[str, Any]:
    """The configuration as DeepSpeed reads it, but for the `auto` values that the trainer fills.

    The optimizer and the schedule are the trainer's; what a file says of them was found to be the same. What is left
    out was found to be switched off, and newer DeepSpeeds refuse it even so.
    """
    dropped = {"optimizer", "scheduler", *LEFT_OUT}
    made = {name: value for name, value in deepcopy(told(options)).items() if name not in dropped}
    stage, zero = stage_of(options), zero_of(made)
    zero["stage"] = stage
    for name in TUNED:
        if getattr(options, name) is not None:
            zero[name] = getattr(options, name)
    for name, least in _FROM_WIDTH.items():
        if stage >= least:
            zero.setdefault(name, "auto")
    for name in OFFLOADS:
        device = getattr(options, name)
        if device is not None:
            former = zero.get(name) if isinstance(zero.get(name), dict) else {}
            zero[name] = {"pin_memory": True, **(former or {}), "device": device}
        if options.nvme_path is not None and device_in(zero, name) == "nvme":
            zero[name]["nvme_path"] = str(Path(options.nvme_path).expanduser())
    made[ZERO] = zero
    for name in ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps"):
        made.setdefault(name, "auto")
    made.setdefault("gradient_clipping", "auto")
    for name in ("bf16", "fp16"):
        made[name] = {"enabled": "auto", **(made.get(name) or {})}
    made["zero_allow_untested_optimizer"] = True
    # what is offloaded is stepped by the optimizer that was chosen, not by DeepSpeed's AdamW in its place
    made.setdefault("zero_force_ds_cpu_optimizer", False)
    made.setdefault("steps_per_print", 2**31 - 1)
    return made
