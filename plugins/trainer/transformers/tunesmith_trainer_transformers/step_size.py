"""What an optimizer step has by the options alone; free of torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tunesmith.types import Problem

from tunesmith_trainer_transformers.spreading import sizes_in_file

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_estimates.estimation import Estimate

    from tunesmith_trainer_transformers import Transformers

UNKNOWN = 8
"""Examples of a forward pass where nothing tells how many fit, and of a step for each accumulated one."""

_SIZE, _WHOLE, _PASSES = (
    "trainer.per_device_train_batch_size",
    "trainer.global_batch_size",
    "trainer.gradient_accumulation_steps",
)


def shares_of(plan: Plan, estimate: Estimate) -> int:
    """Processes that see different examples, before any is started: one for each device where nothing else is said."""
    parallel, count = plan.plugin("parallel"), plan.processes
    if count is None:
        counts = getattr(parallel, "counts", None)
        count = estimate.machine.count if counts is None else counts(estimate.machine.count)[0]
    return max(count // getattr(plan.traits("parallel"), "alike", 1), 1)


def is_open(options: Transformers) -> bool:
    """Whether the plan decides how many examples go through at once."""
    return options.per_device_train_batch_size == "auto"


def examples_of_a_process(options: Transformers, count: int) -> int:
    """Examples of a step in each of `count` processes that see different ones, at most."""
    if options.global_batch_size is not None:
        return math.ceil(options.global_batch_size / count)
    size = options.per_device_train_batch_size
    return (size if isinstance(size, int) else UNKNOWN) * options.gradient_accumulation_steps


def sizes(each: int, even: bool = False) -> list[int]:
    """Examples of a forward pass for which a step of `each` is cut into passes of about as many, in ascending order.

    Args:
        even: of exactly as many.
    """
    if even:
        return [size for size in range(1, each + 1) if each % size == 0]
    return sorted({math.ceil(each / passes) for passes in range(1, each + 1)})


def size_problems(options: Transformers, plan: Plan) -> list[Problem]:
    """What contradicts `auto` or a step of so many examples."""
    opened, whole = is_open(options), options.global_batch_size
    if not opened and whole is None:
        return _own_loop(plan, "per_device_eval_batch_size") if options.per_device_eval_batch_size == "auto" else []
    found = _own_loop(plan, "per_device_train_batch_size" if opened else "global_batch_size")
    if plan.get("optimizer.layerwise"):
        key = _SIZE if opened else _WHOLE
        message = "optimizer.layerwise=true updates in every backward pass, so that one pass makes a step."
        found.append(Problem(key, message, f"a number for {_SIZE} and no {_WHOLE}, or optimizer.layerwise=false"))
    found += sizes_in_file(options)
    return found + ([] if whole is None else _contradictions(options, plan, whole))


def _own_loop(plan: Plan, name: str) -> list[Problem]:
    stage = plan.plugin("stage") if plan.uses("stage") else None
    if not hasattr(stage, "fit"):
        return []
    message = f"stage={plan.name('stage')} brings a training loop of its own, which needs a number."
    return [Problem(f"trainer.{name}", message, f"a number for each of {_SIZE} and {_PASSES}, without {_WHOLE}")]


def _contradictions(options: Transformers, plan: Plan, whole: int) -> list[Problem]:
    alike = getattr(plan.traits("parallel"), "alike", 1)
    count, size = max((plan.processes or 1) // alike, 1), options.per_device_train_batch_size
    if whole < count:
        return [Problem(_WHOLE, f"A step of {whole} examples leaves some of {count} processes without one.", "")]
    passes = options.gradient_accumulation_steps
    if not isinstance(size, int):
        if passes == 1:
            return []
        message = f"{_WHOLE}={whole} and {_SIZE}=auto decide the forward passes of a step, and {_PASSES}={passes} too."
        return [Problem(_PASSES, message, "leave it out")]
    if passes > 1 and size * passes * count != whole:
        message = f"{_WHOLE}={whole}, and {size} × {passes} × {count} processes are {size * passes * count}."
        return [Problem(_WHOLE, message, f"leave {_PASSES} out: it is found from the others")]
    if size * count > whole:
        message = f"{_WHOLE}={whole} is less than one forward pass of {size} examples in {count} processes."
        return [Problem(_WHOLE, message, f"{_SIZE}={whole // count}, or auto")]
    return []
