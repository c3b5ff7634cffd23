"""What Mixture of Depths does not go with, before anything heavy is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith.types import Problem

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_KEY = "patch.mixture_of_depths"


def check(plan: Plan) -> list[Problem]:
    """All problems with other plugins."""
    by_command = {"train": _check_training, "chat": _check_chat, "export": _check_export}
    found = by_command[plan.command](plan) if plan.command in by_command else []
    return [*_check_model(plan), *found]


def _check_model(plan: Plan) -> list[Problem]:
    attention = plan.get("model.attention", "auto")
    if not getattr(plan.traits("model"), "plain_layers", True):
        message = f"{_KEY} changes the layers of transformers, and model={plan.name('model')} brings its own."
        return [Problem("model", message, "model=transformers")]
    if attention.startswith("flash_attention"):
        message = f"{_KEY} hides skipped tokens by a mask that model.attention={attention} does not take."
        return [Problem("model.attention", message, "model.attention=auto")]
    return []


def _check_training(plan: Plan) -> list[Problem]:
    problems, stage = [], plan.name("stage")
    if not getattr(plan.traits("adapter"), "whole", False):
        adapter = plan.name("adapter")
        message = f"{_KEY} changes what every layer computes, and adapter={adapter} leaves most of them as they are."
        problems.append(Problem("adapter", message, "adapter=full"))
    if hasattr(plan.plugin("stage"), "fit"):
        message = f"{_KEY} adds to the loss of the training loop, and stage={stage} brings a loop of its own."
        problems.append(Problem("stage", message, "stage=sft or pretrain first, then the model without this patch"))
    if plan.get("trainer.torch_compile"):
        message = f"{_KEY} processes as many tokens as the data have, which compiled code does not follow."
        problems.append(Problem("trainer.torch_compile", message, "trainer.torch_compile=false"))
    return problems


def _check_chat(plan: Plan) -> list[Problem]:
    if getattr(plan.traits("engine"), "runs_modules", True):
        return []
    message = (
        f"engine={plan.name('engine')} knows the model's architecture, but not the routers that {_KEY} adds to it."
    )
    return [Problem("engine", message, "engine=transformers")]


def _check_export(plan: Plan) -> list[Problem]:
    message = f"no other program runs a model with the routers of {_KEY}: it would compute all tokens, and wrongly."
    return [Problem(_KEY, message, "the run's folder is the finished model: tunesmith chat RUN")]
