"""The keys of a DeepSpeed configuration: DeepSpeed itself passes over those that it does not know. Free of torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

from packaging.version import Version
from tunesmith.errors import choices
from tunesmith.types import Problem

from .settings import LEFT_OUT, OFFLOADS, ZERO, told, zero_of

if TYPE_CHECKING:
    from . import Deepspeed

TOP = {
    *("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping"),
    *("managed_gradient_accumulation", "prescale_gradients", "gradient_predivide_factor", "gradient_allreduce_op"),
    *("optimizer", "scheduler", "zero_allow_untested_optimizer", "zero_force_ds_cpu_optimizer"),
    *("bf16", "bfloat16", "fp16", "torch_autocast", "data_types"),
    *("communication_data_type", "seq_parallel_communication_data_type", "disable_allgather"),
    *("steps_per_print", "wall_clock_breakdown", "memory_breakdown", "dump_state", "log_level", "tensorboard"),
    *("vocabulary_size", "wandb", "csv_monitor", "comet", "comms_logger", "flops_profiler", "autotuning", "timers"),
    *("activation_checkpointing", "checkpoint", "datastates_ckpt", "aio", "compile", "hybrid_engine", "inference"),
    *("data_parallel_size", "use_data_before_expert_parallelism", "dataloader_drop_last", "disable_python_gc"),
    *(ZERO, *LEFT_OUT),
}
OF_ZERO = {
    *("stage", *OFFLOADS, "contiguous_gradients", "reduce_scatter", "reduce_bucket_size", "compute_grad_norm"),
    *("use_multi_rank_bucket_allreduce", "allgather_partitions", "allgather_bucket_size", "overlap_comm"),
    *("load_from_fp32_weights", "elastic_checkpoint", "zenflow", "sub_group_size", "leaf_module"),
    *("cpu_offload", "cpu_offload_param", "cpu_offload_use_pin_memory", "stage3_gather_fp16_weights_on_model_save"),
    *("ignore_unused_parameters", "legacy_stage1", "round_robin_gradients", "parameter_alignment"),
    *("zero_hpz_partition_size", "zero_quantized_weights", "zero_quantized_nontrainable_weights"),
    *("zero_quantized_gradients", "memory_efficient_linear", "pipeline_loading_checkpoint", "override_module_apply"),
    *("log_trace_cache_warnings", "enable_sanity_checks", "save_muon_momentum_buffer_in_memory"),
    *(
        f"{prefix}{name}"
        for prefix in ("", "stage3_")
        for name in (
            *("prefetch_bucket_size", "param_persistence_threshold", "model_persistence_threshold"),
            *("max_live_parameters", "max_reuse_distance", "gather_16bit_weights_on_model_save"),
            *("module_granularity_threshold", "use_all_reduce_for_fetch_params", "allgather_sequential"),
        )
    ),
}
GONE = {"mics_shard_size": "0.19.7", "mics_hierarchical_params_gather": "0.19.7", "zeropp_loco_param": "0.19.8"}
"""Keys of the same place, and from which version on they are passed over."""
OF_OFFLOADS = {
    "offload_param": {"device", "nvme_path", "buffer_count", "buffer_size", "max_in_cpu", "pin_memory"},
    "offload_optimizer": {
        *("device", "nvme_path", "buffer_count", "pin_memory", "pipeline_read", "pipeline_write", "fast_init"),
        *("ratio", "super_offload", "cpuadam_cores_perc"),
    },
}
_REMARKS = ("_", "#", "//")  # how a key begins that is written for people: JSON has no comments


def unknown_keys(options: Deepspeed) -> Iterator[Problem]:
    """Keys of the user's file that DeepSpeed does not know, and parts of it that are no mappings."""
    file = told(options)
    zero = zero_of(file)
    yield from _unknown(options, "", file, TOP)
    for name, part in ((ZERO, file.get(ZERO)), *((f"{ZERO}.{name}", zero.get(name)) for name in OFFLOADS)):
        if part is not None and not isinstance(part, dict):
            message = f"{options.config}: {name} holds no mapping, but {str(part).lower()}."
            yield Problem("parallel.config", message, '{"zero_optimization": {"stage": 2}, …}')
    yield from _unknown(options, f"{ZERO}.", zero, OF_ZERO | {name for name in GONE if _is_before(GONE[name])})
    for name, known in OF_OFFLOADS.items():
        part = zero.get(name)
        yield from _unknown(options, f"{ZERO}.{name}.", part if isinstance(part, dict) else {}, known)


def _is_before(version: str) -> bool:
    """Whether an older DeepSpeed is installed."""
    try:
        return Version(metadata.version("deepspeed")) < Version(version)
    except metadata.PackageNotFoundError:
        return False


def _unknown(options: Deepspeed, where: str, part: Mapping[str, Any], known: set[str]) -> Iterator[Problem]:
    for name in part:
        if name not in known and not name.startswith(_REMARKS):
            message = f"{options.config} says {where}{name}, which DeepSpeed does not know."
            yield Problem("parallel.config", message, choices(name, sorted(known)))
