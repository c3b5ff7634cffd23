"""Whether a run's weights are spread over its processes, and what each of them then has; free of torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.types import Problem
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.spreading import Sharding, Started, among, fully_sharded, of_machine
from tunesmith_library_estimates.zero import Zero, sharded_by_zero

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from tunesmith_trainer_transformers import Transformers


NO_FSDP_ON_CPU = "trainer.fsdp is accelerate's, which on a CPU trains whole copies of the model and does not say so"
FSDP_ON_CPU = "parallel=fsdp parallel.processes=2 spreads it there too"


def spread_by(options: Transformers, plan: Plan) -> str:
    """What spreads them, so that no process has the whole model: fsdp, deepspeed; empty where nothing does."""
    if options.fsdp:
        return "fsdp"
    if options.deepspeed:
        return "deepspeed"
    return str(getattr(plan.traits("parallel"), "spreads", ""))


def is_spread(options: Transformers) -> bool:
    """Whether no process has the whole model; once the plan is known."""
    return bool(options._spread) or spreads_itself(options)


def spreads_itself(options: Transformers) -> bool:
    """Whether transformers spreads the weights, and computes in the run's precision itself."""
    return bool(options.fsdp or options.deepspeed or options._of_parallel.get("deepspeed"))


def estimate_spreading(options: Transformers, estimate: Estimate, plan: Plan) -> Estimate:
    """What a process has where `trainer.fsdp` or `trainer.deepspeed` spreads the weights.

    What plugins say after the trainer, of a reference model or an optimizer of their own, stays whole.
    """
    if not (options.fsdp or options.deepspeed):
        return estimate
    devices = estimate.machine.count
    count = max(plan.processes or 1, devices)
    started = Started(count, min(count, devices) if devices > 1 else count)
    made = among(estimate, started)
    if count == 1:
        by = "trainer.fsdp" if options.fsdp else "trainer.deepspeed"
        return made.without(f"the sharding of {by}: how many processes torchrun starts is not known")
    return of_machine(_shared(options, made, started.total, started.local), started)


def shared_by_processes(options: Transformers, estimate: Estimate, count: int) -> Estimate:
    """What each of so many processes has of a model at hand; where a plugin spreads it, by that."""
    return _shared(options, estimate, count, count)


def _shared(options: Transformers, estimate: Estimate, count: int, local: int) -> Estimate:
    zero = options._of_parallel.get("deepspeed") or (options.deepspeed and _read(options.deepspeed))
    if zero:
        return sharded_by_zero(estimate, Zero.of(zero, count, local))
    words = options.fsdp or ""
    casts = estimate.precision == "bf16" and all(weight.bits >= 16 for weight in estimate.weights)
    sharding = Sharding(
        count,
        casts=casts,
        reshards="shard_grad_op" not in words,
        offloads="offload" in words and estimate.machine.device != "cpu",
        local=local,
    )
    return fully_sharded(estimate, sharding)


def sizes_in_file(options: Transformers) -> list[Problem]:
    """Numbers in the file of `trainer.deepspeed` that the trainer finds by itself, from what a step has."""
    found = _read(options.deepspeed) if options.deepspeed else {}
    names = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")
    said = [f"{name}: {found[name]}" for name in names if found.get(name) not in (None, "auto")]
    if not said:
        return []
    message = f"{options.deepspeed} says {', '.join(said)}, and the trainer finds how a step is cut."
    advice = 'write "auto" in the file, or numbers in place of auto and of trainer.global_batch_size'
    return [Problem("trainer.deepspeed", message, advice)]


def _read(path: str) -> Mapping[str, Any]:
    """A DeepSpeed configuration; {} of stage 0 where it cannot be read, which the check tells."""
    try:
        found = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"zero_optimization": {}}
    return found if isinstance(found, dict) else {"zero_optimization": {}}
