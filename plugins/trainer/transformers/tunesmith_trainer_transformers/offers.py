"""Changes of the trainer's own options that make a run need less memory; free of torch."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tunesmith_library_estimates.changes import Change
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.training import OF_EVALUATION

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from tunesmith_trainer_transformers import Transformers


def offers(options: Transformers, estimate: Estimate, plan: Plan) -> Iterator[Change]:
    """What is different from what was asked for, and leaves what is trained as it is, or nearly."""
    yield from _fewer_at_once(options, plan)
    evaluated = options.per_device_eval_batch_size
    if OF_EVALUATION in estimate.memory and isinstance(evaluated, int):
        yield Change(
            ("trainer.per_device_eval_batch_size=auto",), "nothing", "as many examples in an evaluation as fit"
        )
    if options.merge_accumulation and estimate.merged:
        yield Change(("trainer.merge_accumulation=false",), "time", "the same numbers, in smaller products")
    if not options.padding_free:
        yield Change(("trainer.padding_free=true",), "nothing", "the same numbers, without computing padding")
    if options.gradient_checkpointing is False:
        yield Change(("trainer.gradient_checkpointing=true",), "time", "the same numbers, about 30 % slower")
    if options.gradient_checkpointing != "offload" and estimate.machine.device != "cpu":
        costs = "the same numbers, about 30 % slower, and inputs of layers in the host's memory"
        yield Change(("trainer.gradient_checkpointing=offload",), "time", costs)
    narrow = not plan.uses("optimizer") and options.optim.startswith("adamw_torch")
    if narrow and estimate.machine.device != "cpu" and find_spec("bitsandbytes") is not None:
        yield Change(("trainer.optim=adamw_8bit",), "exactness", "the optimizer's states in 8 bits")
    if estimate.precision == "fp32":
        yield Change(("precision=bf16",), "exactness", "products and activations in 16 bits")


def _fewer_at_once(options: Transformers, plan: Plan) -> Iterator[Change]:
    """The same step in more forward passes."""
    size, passes = options.per_device_train_batch_size, options.gradient_accumulation_steps
    if plan.get("optimizer.layerwise"):
        return
    if not isinstance(size, int):  # auto takes as few as must be
        return
    fewer = size // 2
    while fewer and size % fewer == 0:
        count = passes * (size // fewer)
        overrides = [f"trainer.per_device_train_batch_size={fewer}"]
        if options.global_batch_size is None:
            overrides.append(f"trainer.gradient_accumulation_steps={count}")
        if options.merge_accumulation:
            overrides.append("trainer.merge_accumulation=false")
        yield Change(tuple(overrides), "time", f"the same examples in a step, {fewer} at once")
        fewer //= 2
