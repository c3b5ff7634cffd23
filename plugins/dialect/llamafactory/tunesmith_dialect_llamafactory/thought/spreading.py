"""How a model is spread over processes: FSDP, DeepSpeed, HyperParallel's and Megatron's numbers, Ray."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tunesmith_library_configuration import spreading

from tunesmith_dialect_llamafactory.draft import Draft, listed
from tunesmith_dialect_llamafactory.environment import is_on

_OF_TRAINING = "it is about training."


def deepspeed(key: str, value: Any, draft: Draft) -> None:
    if isinstance(value, Mapping):
        draft.refuse(key, "its configuration is a file.", "write it to a JSON file, and its path here")
    elif draft.command != "train":
        draft.note(key, "dropped", _OF_TRAINING)
    elif value is not None:
        draft.put("parallel.name", "deepspeed", key)
        draft.put("parallel.config", value, key)


def fsdp(key: str, value: Any, draft: Draft) -> None:
    """With what `fsdp_config` and the older keys of the trainer say of it."""
    words = str(value).split() if isinstance(value, str | bool) else listed(value)
    if not words or value is False:
        return
    if draft.command != "train":
        draft.note(key, "dropped", _OF_TRAINING)
        return
    given = draft.get("fsdp_config")
    config = draft.mapping("fsdp_config", given) if given else {}
    older = ("fsdp_min_num_params", "fsdp_transformer_layer_cls_to_wrap")
    config = {**(config or {}), **{name: draft.get(name) for name in older if draft.get(name)}}
    machines = int(os.environ.get("NNODES", "1")) if os.environ.get("NNODES", "1").isdigit() else 1
    draft.spread(spreading.fsdp(words, config, key, "fsdp_config", machines))


def part_of_fsdp(key: str, value: Any, draft: Draft) -> None:
    """What `fsdp` has read with its own value."""


def hyper_parallel(key: str, value: Any, draft: Draft) -> None:
    if value and draft.command == "train":
        draft.put("parallel.name", "fsdp", key)
        draft.note(key, "translated", "torch's own FSDP spreads the weights, HyperParallel is not run.")


def sequence_parallel_size(key: str, value: Any, draft: Draft) -> None:
    if value not in (None, 1) and draft.command == "train":
        draft.put("parallel.sequence", "ulysses", key)
        draft.put("parallel.sequence_size", value, key)


def ray(key: str, value: Any, draft: Draft) -> None:
    """Ray's processes, with what spreads the weights over them; there as here only where USE_RAY is on."""
    if not is_on("USE_RAY"):
        draft.note(key, "dropped", "it is read with USE_RAY=1 alone, there as here.")
        return
    own = draft.config.pop("parallel", {})
    name = own.pop("name", "ddp")
    draft.put("parallel.name", "ray", key)
    if "ray_num_workers" in draft.written:
        draft.put("parallel.processes", value, key)
    for former, ours in {"resources_per_worker": "resources", "placement_strategy": "placement"}.items():
        if draft.written.get(former) is not None:
            draft.put(f"parallel.{ours}", draft.written[former], former)
    if name != "ddp":
        draft.put("parallel.sharding", name, key)
        if own:
            draft.put("parallel.sharding_options", own, key)


def ray_init_kwargs(key: str, value: Any, draft: Draft) -> None:
    if not is_on("USE_RAY"):
        draft.note(key, "dropped", "it is read with USE_RAY=1 alone, there as here.")
        return
    for name, given in (draft.mapping(key, value) or {}).items() if value else ():
        if name in ("address", "runtime_env"):
            draft.put(f"parallel.{name}", given, key)
        else:
            draft.say(key, f"{name} of ray.init is left out; a cluster that runs already has it from ray start.")
