"""What does not go with projected gradients; free of torch, shared with the optimizers that project too."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from tunesmith.types import Problem

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_BESIDE_THE_MODEL = ("lora", "oft")  # adapters that train few weights of their own, and none of the model's


def problems(plan: Plan, name: str, positive: Mapping[str, int], *, layerwise: bool) -> list[Problem]:
    """Everything that can be said before the model is loaded.

    Args:
        name: the optimizer's.
        positive: its options that must be 1 or more.
        layerwise: whether it updates inside the backward pass.
    """
    found = [
        Problem(f"optimizer.{option}", f"optimizer.{option}={value} must be 1 or more.")
        for option, value in positive.items()
        if value < 1
    ]
    found += _needs_whole_gradients(plan, name)
    return found + (list(_needs_one_backward(plan, name)) if layerwise else [])


def _needs_whole_gradients(plan: Plan, name: str) -> list[Problem]:
    found = []
    adapter = plan.name("adapter")
    if adapter in _BESIDE_THE_MODEL:
        message = f"optimizer={name} saves the state of large matrices, and adapter={adapter} trains none."
        found.append(Problem("optimizer", message, "adapter=full, or leave the optimizer out"))
    for option in ("fsdp", "deepspeed"):
        if plan.get(f"trainer.{option}"):
            message = f"optimizer={name} needs whole matrices, and trainer.{option} cuts them in pieces."
            found.append(Problem(f"trainer.{option}", message, f"trainer.{option}=null, or another optimizer"))
    return found


def _needs_one_backward(plan: Plan, name: str) -> Iterator[Problem]:
    accumulated = plan.get("trainer.gradient_accumulation_steps", 1)
    if accumulated > 1:
        message = (
            f"optimizer.layerwise=true updates in every backward pass and cannot accumulate {accumulated} of them."
        )
        advice = "trainer.gradient_accumulation_steps=1 with a larger per_device_train_batch_size, or layerwise=false"
        yield Problem("trainer.gradient_accumulation_steps", message, advice)
    if plan.get("trainer.max_grad_norm", 0):
        message = "optimizer.layerwise=true never has all gradients at once, and cannot clip their norm."
        yield Problem("trainer.max_grad_norm", message, "trainer.max_grad_norm=0, or optimizer.layerwise=false")
    if plan.get("precision") == "fp16":
        message = "optimizer.layerwise=true would update with fp16's scaled gradients."
        yield Problem("precision", message, "precision=bf16, or fp32, or optimizer.layerwise=false")
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1:
        message = f"optimizer={name} with layerwise=true updates before {processes} processes have shared gradients."
        yield Problem("optimizer.layerwise", message, "optimizer.layerwise=false, or one process")
