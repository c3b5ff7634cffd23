"""A model that DeepSpeed trains: spread while it is loaded, its mixtures of experts marked, others spread alike."""

from __future__ import annotations

import logging
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from tunesmith import TunesmithError, announce
from tunesmith_library_loading.importing import collector_at_rest, out_of_sight
from tunesmith_library_training import processes
from tunesmith_library_training.sharding import Spread, mark

from .mixtures import mark_mixtures
from .settings import OFFLOADS, ZERO, configuration, offloaded, stage_of

if TYPE_CHECKING:
    from . import Deepspeed

_SHARED = {
    0: "nothing is shared",
    1: "optimizer states are shared",
    2: "optimizer states and gradients are shared",
    3: "optimizer states, gradients and weights are shared",
}


def spread_while_loading(options: Deepspeed, precision: str) -> None:
    """Have transformers spread weights over the processes as it loads them, with stage 3.

    Args:
        precision: bf16, fp16 or fp32, in which they are held.

    Raises: TunesmithError when DeepSpeed cannot be used here, before anything is loaded.
    """
    _begin(options)
    if stage_of(options) < 3 or options._held:
        return
    from transformers.integrations.deepspeed import HfDeepSpeedConfig

    options._held.append(HfDeepSpeedConfig(_without_trainer(options, precision)))


def place(options: Deepspeed, model: Any, precision: str) -> Any:
    """Prepare a loaded model for DeepSpeed's engine, which the trainer makes."""
    _begin(options)
    stage = stage_of(options)
    announce("ZeRO", f"stage {stage}: {_SHARED[stage]}", f"by {processes.count()} processes")
    for name in OFFLOADS:
        if offloaded(options, name) != "none":
            what = "optimizer states" if name == "offload_optimizer" else "weights"
            announce(what, f"kept on {offloaded(options, name)}", f"parallel.{name}")
    if stage == 3:
        mark_mixtures(model)
    mark(model, Spread("deepspeed", partial(_spread_alike, _without_trainer(options, precision))))
    return model


def _without_trainer(options: Deepspeed, precision: str) -> dict[str, Any]:
    """The configuration for a model that no trainer fills `auto` values for, and that no optimizer steps."""
    made = configuration(options)
    zero = {name: value for name, value in made[ZERO].items() if value != "auto" and name != "offload_optimizer"}
    return {
        ZERO: zero,
        "train_micro_batch_size_per_gpu": 1,
        "bf16": {"enabled": precision == "bf16"},
        "fp16": {"enabled": precision == "fp16"},
        "steps_per_print": made["steps_per_print"],
    }


def _spread_alike(settings: dict[str, Any], model: Any) -> None:
    """Have a model that is not trained, such as a reference, gather its weights when they are needed."""
    if settings[ZERO]["stage"] < 3:
        return
    import deepspeed

    mark_mixtures(model)
    model.requires_grad_(False)
    deepspeed.initialize(model=model, config=settings)


def _begin(options: Deepspeed) -> None:
    """Import DeepSpeed and join the processes, once.

    Raises: TunesmithError when it cannot be imported, or lacks what offloading to nvme needs.
    """
    import torch

    if options._use_cpu or not torch.accelerator.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else it warns that it found no other
    try:
        # its search for fast settings, which nobody starts here, imports mlflow where that is installed
        with collector_at_rest(), out_of_sight(["mlflow"]):
            import deepspeed
    except Exception as error:  # compilers and drivers that it looks for have errors of their own
        raise TunesmithError(
            f"DeepSpeed cannot be imported: {type(error).__name__}: {error}\n  what it finds here: ds_report"
        ) from error
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    # on a CPU it would compile collectives of its own for minutes, in silence; gloo has the same
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    _refuse_missing_operations(options, deepspeed)
    processes.join(options._use_cpu)


def _refuse_missing_operations(options: Deepspeed, deepspeed: Any) -> None:
    if "nvme" not in {offloaded(options, name) for name in OFFLOADS}:
        return
    builder = deepspeed.ops.op_builder.AsyncIOBuilder()
    if not builder.is_compatible(verbose=False):
        raise TunesmithError(
            "offloading to nvme needs libaio, from which DeepSpeed compiles its reads and writes.\n"
            "  install it (Debian, Ubuntu: apt install libaio-dev), or take cpu in place of nvme; ds_report tells more"
        )
