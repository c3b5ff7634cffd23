"""What FP8 does not go with, before anything heavy is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith.types import Problem

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from tunesmith_patch_fp8 import Fp8

_KEY = "patch.fp8"


def check(options: Fp8, plan: Plan) -> list[Problem]:
    """All problems with other plugins."""
    if plan.command != "train":
        return []
    problems = [*_devices(options, plan), *(_gathering(options, plan) if options.all_gather else [])]
    if plan.uses("quantizer"):
        message = f"{_KEY} rounds whole weights in each step, and quantizer={plan.name('quantizer')} has rounded them."
        problems.append(Problem("quantizer", message, "leave one of them out"))
    adapter = plan.traits("adapter")
    if adapter is not None and adapter.beside:
        message = f"{_KEY} beside adapter={plan.name('adapter')}: the gradient of frozen weights is computed, too."
        problems.append(Problem("adapter", message, "adapter=full, or leave patch.fp8 out", "warning"))
    return problems


def _devices(options: Fp8, plan: Plan) -> list[Problem]:
    if options.emulate:
        message = f"{_KEY}.emulate computes in fp32 what was rounded: it is slower than without {_KEY}."
        return [Problem(f"{_KEY}.emulate", message, "for tests; patch.fp8.emulate=false", "warning")]
    if plan.get("trainer.use_cpu"):
        return [Problem("trainer.use_cpu", f"{_KEY} needs a GPU.", "patch.fp8.emulate=true, slowly, or leave it out")]
    if plan.get("trainer.torch_compile"):
        return []
    message = f"{_KEY} without torch.compile is mostly slower than bf16: each rounding is a kernel of its own."
    return [Problem("trainer.torch_compile", message, "trainer.torch_compile=true", "warning")]


def _gathering(options: Fp8, plan: Plan) -> list[Problem]:
    problems = []
    if options.recipe != "tensorwise":
        message = f"{_KEY}.all_gather needs one scale for a tensor, and recipe={options.recipe} has many."
        problems.append(Problem(f"{_KEY}.recipe", message, "patch.fp8.recipe=tensorwise"))
    version = (plan.get("trainer.fsdp_config") or {}).get("version", 1)
    if not plan.get("trainer.fsdp") or int(version) != 2:
        message = f"{_KEY}.all_gather is about the weights that FSDP 2 spreads over processes, and there is no FSDP 2."
        advice = "trainer.fsdp=full_shard trainer.fsdp_config.version=2, or patch.fp8.all_gather=false"
        problems.append(Problem(f"{_KEY}.all_gather", message, advice))
    return problems
