"""What Mixture of Depths does not go with, before anything heavy is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith.types import Problem

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from . import MixtureOfDepths

_KEY = "patch.mixture_of_depths"


def check(patch: MixtureOfDepths, plan: Plan) -> list[Problem]:
    """All problems of the options by themselves and with other plugins."""
    by_command = {"train": _check_training, "chat": _check_chat, "export": _check_export}
    found = by_command[plan.command](plan) if plan.command in by_command else []
    return [*_check_numbers(patch), *_check_model(plan), *found]


def _check_numbers(patch: MixtureOfDepths) -> list[Problem]:
    problems = []
    if not 0 < patch.capacity <= 1:
        message = f"capacity={patch.capacity:g} is no share of the tokens."
        problems.append(Problem(f"{_KEY}.capacity", message, "above 0, up to 1: 0.125, 0.5"))
    if patch.every < 1:
        problems.append(Problem(f"{_KEY}.every", f"every={patch.every} names no layers.", "1, 2, 3, …"))
    if patch.aux_weight <= 0:
        message = f"aux_weight={patch.aux_weight:g} teaches nothing to decide with when text is generated."
        problems.append(Problem(f"{_KEY}.aux_weight", message, "above 0: 0.01"))
    return problems


def _check_model(plan: Plan) -> list[Problem]:
    name, attention = plan.name("model"), plan.get("model.attention", "auto")
    if name not in (None, "transformers"):
        message = f"{_KEY} changes the layers of transformers, and model={name} brings its own."
        return [Problem("model", message, "model=transformers")]
    if attention.startswith("flash_attention"):
        message = f"{_KEY} hides skipped tokens by a mask that model.attention={attention} does not take."
        return [Problem("model.attention", message, "model.attention=auto")]
    return []


def _check_training(plan: Plan) -> list[Problem]:
    problems, adapter, stage = [], plan.name("adapter"), plan.name("stage")
    if adapter != "full":
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
    engine = plan.name("engine")
    if engine in (None, "transformers"):
        return []
    message = f"engine={engine} knows the model's architecture, but not the routers that {_KEY} adds to it."
    return [Problem("engine", message, "engine=transformers")]


def _check_export(plan: Plan) -> list[Problem]:
    message = f"no other program runs a model with the routers of {_KEY}: it would compute all tokens, and wrongly."
    return [Problem(_KEY, message, "the run's folder is the finished model: tunesmith chat RUN")]
