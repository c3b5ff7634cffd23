"""transformers' TrainingArguments from the plugin's options."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers import PreTrainedModel, TrainingArguments
from transformers.training_args import OptimizerNames
from tunesmith import TunesmithError, announce
from tunesmith.errors import choices
from tunesmith.types import TrainingJob
from tunesmith_library_training import processes
from tunesmith_library_training.one_device import OneDevice

from tunesmith_trainer_transformers.batches import worker_context
from tunesmith_trainer_transformers.memory import computes_again
from tunesmith_trainer_transformers.spreading import FSDP_ON_CPU, NO_FSDP_ON_CPU, spreads_itself

if TYPE_CHECKING:
    from tunesmith_trainer_transformers import Transformers


class Arguments(OneDevice, TrainingArguments):
    """TrainingArguments of a process that trains on one device."""


def training_arguments(options: Transformers, job: TrainingJob, **changed: Any) -> Arguments:
    """Options keep transformers' names, so most are passed on as they are.

    Args:
        changed: arguments under transformers' names, over the options.

    Raises: TunesmithError with transformers' own words when it refuses them.
    """
    known = {item.name for item in dataclasses.fields(TrainingArguments)}
    optimizers = [name.value for name in OptimizerNames]
    if options.optim not in optimizers:
        raise TunesmithError(f"trainer.optim={options.optim} is unknown.\n  {choices(options.optim, optimizers)}")
    given = {item.name: getattr(options, item.name) for item in dataclasses.fields(type(options))}
    passed = {**given, **_translated(options, job, known), **_fixed(), **options._of_parallel, **changed}
    try:
        arguments = Arguments(**{name: value for name, value in passed.items() if name in known})
    except (ValueError, ImportError) as error:
        raise TunesmithError(f"transformers refuses the trainer's options: {error}") from error
    if options.fsdp and arguments.device.type == "cpu":
        raise TunesmithError(f"{NO_FSDP_ON_CPU}, and this machine has no accelerator.\n  {FSDP_ON_CPU}")
    if options.gradient_checkpointing == "auto":
        _compute_again(arguments, computes_again(options, job, arguments.device.type))
    arguments.report_to = []  # also what it adds by itself where it finds a certain environment
    if processes.count() > arguments.world_size:
        raise TunesmithError(
            f"{processes.count()} processes were launched, but they do not find together on this machine."
        )
    devices = torch.cuda.device_count()
    if devices > 1 and arguments.world_size == 1 and arguments.device.type == "cuda":
        announce("GPUs", f"1 of {devices}", f"torchrun --nproc-per-node={devices} -m tunesmith … uses all")
    return arguments


def _translated(options: Transformers, job: TrainingJob, known: set[str]) -> dict[str, Any]:
    """Options that transformers calls or counts differently."""
    checkpointing = "activation" if "activation_checkpointing" in known else "gradient"
    strategy = options.eval_strategy
    if strategy == "auto":
        strategy = "epoch" if job.data.eval else "no"
    compares = options.load_best_model_at_end or options.save_strategy == "best"
    compares = compares or options.lr_scheduler_type == "reduce_lr_on_plateau"
    compares = compares or options.early_stopping_patience is not None
    best = options.metric_for_best_model
    if best is None and compares and job.data.eval:
        best = options._declared.first(job.data.eval)
    return {
        "output_dir": str(job.output_dir),
        "seed": job.seed,
        "eval_strategy": strategy,
        # told explicitly: without it, processes launched on a machine without accelerator do not find together
        "use_cpu": options.use_cpu or not torch.accelerator.is_available(),
        "warmup_steps": options.warmup_ratio if options.warmup_steps is None else options.warmup_steps,
        "fp16": job.precision == "fp16",
        "bf16": job.precision == "bf16" and spreads_itself(options),  # elsewhere the loop computes in bf16 itself
        "metric_for_best_model": best,
        "save_only_model": not spreads_itself(options),  # the loop writes the rest itself, without pickle
        "save_total_limit": None,  # the loop deletes old checkpoints itself, once the new one is whole
        "lr_scheduler_kwargs": options.lr_scheduler_kwargs or None,
        "optim_target_modules": list(options.optim_target_modules) or None,
        "torch_compile_backend": options.torch_compile_backend if options.torch_compile else None,
        "fsdp": options.fsdp or None,
        "fsdp_config": options.fsdp_config or None,
        f"{checkpointing}_checkpointing": options.gradient_checkpointing not in (False, "auto"),
        f"{checkpointing}_checkpointing_kwargs": _checkpointing(options),
        **({"gradient_checkpointing": None} if checkpointing == "activation" else {}),
        "dataloader_multiprocessing_context": worker_context(options.dataloader_num_workers),
    }


def _compute_again(arguments: Arguments, chosen: bool) -> None:
    """Settle what was left open, under the name that the installed transformers has for it, and the one before."""
    for name in ("activation_checkpointing", "gradient_checkpointing"):
        if hasattr(arguments, name):
            setattr(arguments, name, chosen)
            setattr(arguments, f"{name}_kwargs", {"use_reentrant": False} if chosen else None)


def _checkpointing(options: Transformers) -> dict[str, Any] | None:
    """How activations are computed again; None where they are kept.

    Raises: TunesmithError where the inputs of the layers should be kept in the host's memory, and the installed
        transformers cannot.
    """
    if options.gradient_checkpointing in (False, "auto"):
        return None
    if options.gradient_checkpointing is True:
        return {"use_reentrant": False}
    if options.use_cpu or not torch.accelerator.is_available():
        announce("inputs of the layers", "stay where they are", "the host's memory is that of the device")
        return {"use_reentrant": False}
    former = PreTrainedModel.gradient_checkpointing_enable  # its name in transformers 5.17
    enable = getattr(PreTrainedModel, "activation_checkpointing_enable", former)
    if "offload" not in inspect.signature(enable).parameters:
        raise TunesmithError(
            f"trainer.gradient_checkpointing=offload: transformers {transformers.__version__} does not move what it "
            "keeps to the host.\n  pip install --upgrade transformers, or trainer.gradient_checkpointing=true"
        )
    announce("inputs of the layers", "kept in the host's memory", "trainer.gradient_checkpointing=offload")
    return {"use_reentrant": False, "offload": True}


def _fixed() -> dict[str, Any]:
    """What the loop relies on: it reports, logs and names things itself."""
    on_gpu = torch.cuda.is_available()
    return {
        "report_to": "none",
        "disable_tqdm": True,
        "logging_strategy": "steps",
        "logging_nan_inf_filter": False,  # it would wait for the device at every forward pass
        "remove_unused_columns": False,
        "label_names": ["labels"],
        "dataloader_pin_memory": on_gpu,
        # a stream is read by each process, which takes its share: batches of other lengths cannot be sent around
        "accelerator_config": {"non_blocking": on_gpu, "dispatch_batches": False},
    }
