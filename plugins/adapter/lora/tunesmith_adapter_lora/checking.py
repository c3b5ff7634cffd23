"""What is wrong with the options of LoRA, before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.types import Problem
from tunesmith_library_estimates.architectures import experts_at
from tunesmith_library_weights.patterns import matches, matches_any
from tunesmith_library_weights.towers import towers_problems

from .experts import unfit

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from . import Lora


def check(lora: Lora, plan: Plan, changes_base: Sequence[str]) -> list[Problem]:
    """All problems of the options by themselves and with other plugins.

    Args:
        changes_base: the values of `init` that change the base weights.
    """
    return [
        *towers_problems(lora.towers),
        *_check_start(lora),
        *lora.following.problems(plan),
        *_check_quantizer(lora, plan, changes_base),
        *_check_experts(lora, plan),
    ]


def _check_start(lora: Lora) -> list[Problem]:
    problems = []
    ranks = {"adapter.rank": lora.rank, **{f"adapter.rank_pattern.{n}": rank for n, rank in lora.rank_pattern.items()}}
    for key, rank in ranks.items():
        if lora.init == "orthogonal" and rank % 2:
            message = f"adapter.init=orthogonal needs an even rank, not {rank}."
            problems.append(Problem("adapter.init", message, f"{key}={rank + 1}"))
    if lora.pissa_iterations and lora.init != "pissa":
        message = f"adapter.pissa_iterations={lora.pissa_iterations} does not go with adapter.init={lora.init}."
        problems.append(Problem("adapter.pissa_iterations", message, "adapter.init=pissa, or leave it out"))
    return problems


def _check_quantizer(lora: Lora, plan: Plan, changes_base: Sequence[str]) -> list[Problem]:
    problems, quantizer, can = [], plan.name("quantizer"), plan.traits("quantizer")
    if quantizer and lora.init in changes_base:
        message = f"adapter.init={lora.init} changes the base weights, but quantizer={quantizer} rounds them."
        problems.append(Problem("adapter.init", message, "adapter.init=true, or quantizer=null"))
    if lora.init == "loftq" and plan.command == "train":
        if not quantizer:
            message = "adapter.init=loftq starts at what a quantizer rounds away, and there is no quantizer."
            problems.append(Problem("adapter.init", message, "quantizer=hqq or another, or adapter.init=true"))
        elif lora.path:
            message = "adapter.init=loftq is a start, and the adapter of adapter.path has started."
            problems.append(Problem("adapter.init", message, "leave adapter.init out, or adapter.path=null"))
    if lora.init == "orthogonal" and can is not None and not can.float_weights:
        message = f"adapter.init=orthogonal takes the numbers of the base, and quantizer={quantizer} packs its bits."
        problems.append(Problem("adapter.init", message, "adapter.init=true, or quantizer=null"))
    if lora.use_dora and can is not None and not can.weight_norms:
        message = (
            f"adapter.use_dora=true trains the norms of the weights, and quantizer={quantizer} with these options "
            "does not give them."
        )
        problems.append(Problem("adapter.use_dora", message, "adapter.use_dora=false, or other bits or another scheme"))
    return problems


def _check_experts(lora: Lora, plan: Plan) -> list[Problem]:
    """Options that fused experts cannot have, where the model's config.json is at hand and says that it has some."""
    wrong = unfit(lora) if plan.command == "train" and lora.path is None else []
    experts = experts_at(Path(str(plan.get("model.path", ""))).expanduser()) if wrong else []
    asked = [lora.target_modules] if isinstance(lora.target_modules, str) else lora.target_modules
    left = [*lora.exclude_modules, *lora.modules_to_save]
    if not any(pattern == "all" or matches(name, pattern) for pattern in asked for name in experts):
        return []
    if all(matches_any(name, left) for name in experts):
        return []
    instead = "or adapter.exclude_modules=[experts] to adapt the other layers alone"
    return [
        Problem(
            key, f"{option} cannot be had on fused experts, whose matrices share a parameter.", f"{advice}, {instead}"
        )
        for key, option, advice in wrong
    ]
