"""Whether activations are kept or computed again: `gradient_checkpointing=auto`.

The model at hand, the longest batch of its data and the closed forms of `library.estimates` give the peak without; it
is compared with the whole memory of the device. That is a fixed rule: a resumed run decides as it did before.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from tunesmith import announce
from tunesmith.messages import logger
from tunesmith.types import TrainingJob
from tunesmith_library_estimates.activations import activations, activations_at_most
from tunesmith_library_estimates.estimation import PHASES, Estimate
from tunesmith_library_estimates.loaded import has_known_layers, loaded
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.room import Room, of_accelerator, of_host
from tunesmith_library_estimates.sizes import in_words
from tunesmith_library_estimates.training import gradients, optimizer_states
from tunesmith_library_training import processes
from tunesmith_library_training.estimating import estimate_token_loss, with_second_model
from tunesmith_library_training.lengths import longest

from tunesmith_trainer_transformers.evaluating import of_evaluation
from tunesmith_trainer_transformers.optims import estimate_optim
from tunesmith_trainer_transformers.spreading import is_spread, shared_by_processes

if TYPE_CHECKING:
    from tunesmith_trainer_transformers import Transformers


def room_of(device: str) -> Room | None:
    """The memory that one process of the run has on its device; None where nobody tells. Args: device: cuda, cpu, …"""
    if device == "cpu":
        alone = not torch.accelerator.is_available()  # else each machine's processes are counted by their accelerators
        return of_host(int(os.environ.get("LOCAL_WORLD_SIZE", processes.count())) if alone else 1)
    kind: Any = getattr(torch, device, None)
    if hasattr(kind, "get_device_properties"):
        return of_accelerator(float(kind.get_device_properties(kind.current_device()).total_memory))
    if hasattr(kind, "recommended_max_memory"):
        return of_accelerator(float(kind.recommended_max_memory()))
    return None


def computes_again(
    options: Transformers, job: TrainingJob, device: str, room: Callable[[str], Room | None] = room_of
) -> bool:
    """Decide, the same on all processes, and say it. All processes call it.

    Args:
        device: that is trained on, as torch names its kind.
        room: gives its memory.
    """
    supported = getattr(job.model, "supports_gradient_checkpointing", False)
    there, tokens = room(device), longest_batch(options, job)
    if not supported or there is None or tokens is None:
        why = "its layers cannot be computed again" if not supported else "how much is needed or there is not known"
        announce("activations", "kept", f"{why}; trainer.gradient_checkpointing=true computes them again")
        return False
    needed = peak(options, job, tokens)
    again = any(processes.gathered(not there.holds(needed)))
    known = "" if has_known_layers(job.model) else ", by a bound, for the form of its layers is not known"
    why = f"{in_words(needed)} of {in_words(there.total)} at the longest batch asked for, {tokens:,} tokens{known}"
    if again:
        why += "; trainer.gradient_checkpointing=false keeps them"
    announce("activations", "computed again in the backward pass" if again else "kept", why)
    least = peak(options, job, tokens, recomputes=True) if again else 0.0
    if not there.holds(least):
        told = f"memory: {in_words(least)} are needed even so, and {in_words(there.share * there.total)} may be filled"
        logger.warning("%s\n  tunesmith plan tells what takes it; docs/howto.md what takes less", told)
    return again


def peak(options: Transformers, job: TrainingJob, tokens: int, recomputes: bool = False) -> float:
    """Bytes that a process needs at the highest moment of its steps, at a batch of so many tokens.

    Args:
        recomputes: activations are computed again, where the form of the layers is known.
    """
    return _of_training(needed(options, job, tokens, recomputes))


def peak_of_evaluation(options: Transformers, job: TrainingJob, tokens: int) -> float:
    """Bytes that a process needs in a forward pass that keeps nothing for a backward pass, at most."""
    made = needed(options, job, tokens, recomputes=True)
    return sum(made.bytes("generate").values()) + of_evaluation(made, tokens)


def needed(options: Transformers, job: TrainingJob, tokens: int, recomputes: bool) -> Estimate:
    """What a process needs in training the model at hand, at a batch of so many tokens."""
    size = int(options.per_device_train_batch_size)
    accumulates = options.gradient_accumulation_steps > 1 or options._examples > size * processes.shares()
    beside, shared = options._beside, processes.count() if is_spread(options) else 1
    device = "cpu" if options.use_cpu or not torch.accelerator.is_available() else ""
    made = replace(loaded(job.model, job.precision), machine=Machine(device=device))
    made = gradients(made, accumulates=accumulates)
    optim = None if beside.optimizer else options.optim
    known = optim and estimate_optim(made, optim, options.optim_args, options.optim_target_modules)
    made = known or optimizer_states(made, 2)
    if beside.second_model:
        made = with_second_model(made)
    made = activations(made, recomputes) if has_known_layers(job.model) else activations_at_most(made)
    made = estimate_token_loss(made, tokens, 0, beside.one_pass)
    return shared_by_processes(options, made, shared) if shared > 1 else made


def _of_training(made: Estimate) -> float:
    """Bytes of the phase of a step that needs the most: loading is over."""
    return max(sum(made.bytes(phase).values()) for phase in PHASES if phase not in ("load", "save"))


def longest_batch(options: Transformers, job: TrainingJob) -> int | None:
    """Tokens of the longest batch, an upper bound; None where neither data nor options tell."""
    count, most = int(options.per_device_train_batch_size), options._beside.most
    lengths = None if options._beside.generates else longest(job.data.train, count)
    if lengths:
        return sum(lengths) if options.padding_free else len(lengths) * lengths[0]
    return count * most if most else None
