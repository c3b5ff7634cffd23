"""Plans that optimizers do not go with; free of torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tunesmith.types import Problem
from tunesmith_library_weights.plans import suitable

if TYPE_CHECKING:
    from tunesmith.planning import Plan


def needs_models_weights(plan: Plan, message: str) -> list[Problem]:
    """The problem of an adapter that trains few weights of its own and none of the model's.

    Args:
        message: what is wrong; `{adapter}` is its name.
    """
    adapter = plan.traits("adapter")
    if adapter is None or not adapter.beside:
        return []
    found = suitable(plan, "adapter", lambda traits: traits.whole) or "an adapter that trains the model's own weights"
    message = message.format(adapter=plan.name("adapter"))
    return [Problem("optimizer", message, f"{found}, or leave the optimizer out")]


def needs_whole_weights(plan: Plan, needs: str, sharding: Iterable[str] = ("fsdp", "deepspeed")) -> list[Problem]:
    """The problems of what spreads a weight out over processes.

    Args:
        needs: what the optimizer does with whole weights: `optimizer=muon makes whole matrices orthogonal`.
        sharding: what cuts what it needs: options of the trainer, and `spreads` of a parallel plugin's traits.
    """
    spreads = getattr(plan.traits("parallel"), "spreads", "")
    launched = [
        Problem(
            "optimizer",
            f"{needs}, and parallel={plan.name('parallel')} cuts them in pieces.",
            "parallel=ddp, or another optimizer",
        )
    ]
    return (launched if spreads in sharding else []) + [
        Problem(
            f"trainer.{option}",
            f"{needs}, and trainer.{option} cuts them in pieces.",
            f"trainer.{option}=null, or another optimizer",
        )
        for option in sharding
        if plan.get(f"trainer.{option}")
    ]


def needs_one_process(plan: Plan, message: str, advice: str, key: str = "optimizer") -> list[Problem]:
    """The problem of several processes.

    Args:
        message: what is wrong; `{processes}` is their number.
    """
    count = plan.processes or 1
    return [Problem(key, message.format(processes=count), advice)] if count > 1 else []


def needs_one_backward(plan: Plan, name: str) -> Iterator[Problem]:
    """What does not go with updates inside the backward pass, which the option `layerwise` asks for.

    Args:
        name: the optimizer's.
    """
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
    message = f"optimizer={name} with layerwise=true updates before {{processes}} processes have shared gradients."
    yield from needs_one_process(plan, message, "optimizer.layerwise=false, or one process", "optimizer.layerwise")


def needs_projected_gradients(plan: Plan, name: str, *, layerwise: bool) -> list[Problem]:
    """What does not go with gradients that are projected to a low rank.

    Args:
        name: the optimizer's.
        layerwise: whether it updates inside the backward pass.
    """
    beside = f"optimizer={name} saves the state of large matrices, and adapter={{adapter}} trains none."
    return [
        *needs_models_weights(plan, beside),
        *needs_whole_weights(plan, f"optimizer={name} needs whole matrices"),
        *(needs_one_backward(plan, name) if layerwise else ()),
    ]
