"""What is wrong with the options of torchao, before anything heavy is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith.types import Problem
from tunesmith_library_weights.towers import towers_problems

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from . import Torchao

TRAINED_FOR = ("intx_weight_only", "int8_dynamic_intx")  # the schemes whose rounding `qat` can show to training
# why a scheme passes no gradient to what is below a layer, and what to do
_NO_GRADIENT = {
    "int8_dynamic": "train with int8_weight_only; chat with the run may use int8_dynamic: its weights are the same",
    "int8_dynamic_intx": "quantizer.qat=true trains for it, intx_weight_only over the same weights",
    "int4_weight_only": "train with quantizer=bitsandbytes or quantizer=hqq, or for few bits with quantizer.qat=true "
    "quantizer.scheme=intx_weight_only",
}
_KERNEL_GROUPS = (32, 64, 128, 256)


def check(torchao: Torchao, plan: Plan) -> list[Problem]:
    """All problems of the options by themselves and with other plugins."""
    parts = towers_problems(torchao.towers, "quantizer.towers")
    return [*parts, *_check_bits(torchao), *_check_training(torchao, plan), *_check_kernel(torchao, plan)]


def _check_bits(torchao: Torchao) -> list[Problem]:
    problems = []
    if torchao.bits != 4 and torchao.scheme not in TRAINED_FOR:
        message = f"quantizer.scheme={torchao.scheme} ignores quantizer.bits={torchao.bits}."
        advice = f"for so many bits: quantizer.scheme={TRAINED_FOR[0]}"
        problems.append(Problem("quantizer.bits", message, advice, severity="warning"))
    return problems


def _check_training(torchao: Torchao, plan: Plan) -> list[Problem]:
    problems = []
    if torchao.qat and torchao.scheme not in TRAINED_FOR:
        message = f"quantizer.qat=true cannot train for quantizer.scheme={torchao.scheme}."
        advice = f"possible: {', '.join(TRAINED_FOR)}; 8 bits lose next to nothing without"
        problems.append(Problem("quantizer.qat", message, advice))
    elif plan.command == "train" and not torchao.qat and torchao.scheme in _NO_GRADIENT:
        message = f"quantizer.scheme={torchao.scheme} passes no gradient: nothing below a layer could learn from it."
        problems.append(Problem("quantizer.scheme", message, _NO_GRADIENT[torchao.scheme]))
    return problems


def _check_kernel(torchao: Torchao, plan: Plan) -> list[Problem]:
    if torchao.scheme != "int4_weight_only":
        return []
    problems = []
    if torchao.group_size not in _KERNEL_GROUPS:
        message = f"quantizer.group_size={torchao.group_size} is no group of the kernel of int4_weight_only."
        problems.append(Problem("quantizer.group_size", message, f"possible: {', '.join(map(str, _KERNEL_GROUPS))}"))
    if plan.get("precision", "auto") not in ("auto", "bf16"):
        message = f"quantizer.scheme=int4_weight_only computes in bf16, not in {plan.get('precision')}."
        problems.append(Problem("precision", message, "precision=bf16, or quantizer.scheme=intx_weight_only"))
    return problems
