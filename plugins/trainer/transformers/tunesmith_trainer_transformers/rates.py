"""Learning rates of the parts of a model that also sees or hears: a tower often wants a smaller one than a projector.

The groups of an optimizer that was just made are divided by part; each keeps its schedule, at its own height.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from tunesmith import TunesmithError, announce
from tunesmith.errors import choices
from tunesmith.types import Problem
from tunesmith_library_weights.towers import Part, parts_in

from tunesmith_trainer_transformers.spreading import spread_by

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from tunesmith_trainer_transformers import Transformers

_KEY = "trainer.learning_rates"


def rate_problems(options: Transformers, plan: Plan) -> list[Problem]:
    """What keeps parts from having learning rates of their own, whatever the model is."""
    if not options.learning_rates:
        return []
    parts = get_args(Part)
    found = [
        Problem(_KEY, f"{_KEY}.{name}: there is no such part.", choices(name, parts, "parts"))
        for name in options.learning_rates
        if name not in parts
    ]
    others = {
        "the optimizer's plugin groups the weights itself": plan.name("optimizer"),
        "this stage trains in a loop of its own": plan.traits("stage") is not None and plan.traits("stage").generates,
        "the weights are spread over processes": spread_by(options, plan),
    }
    found += [Problem(_KEY, f"{_KEY}: {why}.", "leave one of them out") for why, there in others.items() if there]
    return found


def divide(optimizer: Any, model: Any, rates: Mapping[str, float], usual: float) -> None:
    """Give the trained weights of parts their own learning rates, in place.

    Args:
        optimizer: of torch, which has made no step.
        model: whose weights it has, with an adapter or without.
        rates: peaks of the schedule by part.
        usual: the peak of the others.

    Raises: TunesmithError when the model does not have a part, or trains none of its weights.
    """
    parts = parts_in(model.get_base_model() if hasattr(model, "get_base_model") else model)
    parts.refuse_missing(_KEY, list(rates))
    of_part = {part: rate for name, rate in rates.items() for part in parts.chosen([name])}
    of_part |= {name: rate for name, rate in rates.items() if name in of_part}  # `tower` is less than its name
    of_weight = {id(weight): parts.of(name) for name, weight in model.named_parameters() if weight.requires_grad}
    for name in rates:
        if not parts.chosen([name]) & set(of_weight.values()):
            raise TunesmithError(f"{_KEY}.{name}: nothing of it is trained.\n  add {name} to adapter.towers")
    held = {of_weight.get(id(weight)) for group in optimizer.param_groups for weight in group["params"]}
    if not set(of_part) & set(of_weight.values()) <= held:
        raise TunesmithError(
            f"{_KEY}: this optimizer steps in the backward pass.\n  another trainer.optim, or leave it out"
        )
    groups = []
    for group in optimizer.param_groups:
        divided: dict[float, list[Any]] = {}
        for weight in group["params"]:
            divided.setdefault(of_part.get(of_weight.get(id(weight), ""), usual), []).append(weight)
        ordered = sorted(divided, key=lambda rate: (rate != usual, rate))  # the first one's is what a step tells
        groups += [{**group, "params": divided[rate], "lr": group["lr"] * rate / usual} for rate in ordered]
    optimizer.param_groups[:] = groups
    told = ", ".join(f"{part} {of_part.get(part, usual):g}" for part in parts.names if part in of_weight.values())
    announce("learning rates", told, _KEY)
