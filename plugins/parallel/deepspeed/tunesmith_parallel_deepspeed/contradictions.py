"""A user's DeepSpeed file that says something else than the options: neither is passed over. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tunesmith.types import Problem

from .settings import LEFT_OUT, OFFLOADS, TUNED, device_in, told, zero_of

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from . import Deepspeed

_AUTO = (None, "auto")
_SCHEDULES = {
    "WarmupLR": "constant_with_warmup",
    "WarmupDecayLR": "linear",
    "WarmupCosineLR": "cosine",
}
"""DeepSpeed's schedules, and what the trainer calls them."""
_OF_SCHEDULE = {"warmup_max_lr": "learning_rate", "warmup_num_steps": "warmup_steps", "total_num_steps": "max_steps"}
_OF_OPTIMIZER = {
    "lr": ("learning_rate",),
    "betas": ("adam_beta1", "adam_beta2"),
    "eps": ("adam_epsilon",),
    "weight_decay": ("weight_decay",),
}


def contradictions(options: Deepspeed, plan: Plan) -> list[Problem]:
    """Each names the file's value and the option's."""
    file = told(options)
    if not file:
        return []
    return [
        *_of_options(options, file),
        *_of_batches(options, file, plan),
        *_of_precision(options, file, plan),
        *_of_optimizer(options, file, plan),
        *_of_schedule(options, file, plan),
        *_of_parts(options, file),
    ]


def _of_options(options: Deepspeed, file: Mapping[str, Any]) -> Iterator[Problem]:
    zero = zero_of(file)
    for name in ("stage", *TUNED):
        yield from _differ(
            options, f"zero_optimization.{name}", zero.get(name), f"parallel.{name}", getattr(options, name)
        )
    for name in OFFLOADS:
        key = f"zero_optimization.{name}.device"
        yield from _differ(options, key, device_in(zero, name), f"parallel.{name}", getattr(options, name))


def _differ(options: Deepspeed, there: str, said: Any, key: str, asked: Any) -> Iterator[Problem]:
    """The problem of a file's value that is neither `auto` nor the option's."""
    if said in _AUTO or asked is None or said == asked:
        return
    message = f"{options.config} says {there}: {said}, and {key} is {asked}."
    yield Problem(key, message, f'write "auto" in the file, or {key}={said}')


def _of_batches(options: Deepspeed, file: Mapping[str, Any], plan: Plan) -> Iterator[Problem]:
    size, of_step = plan.get("trainer.per_device_train_batch_size"), plan.get("trainer.global_batch_size")
    steps, longest = plan.get("trainer.gradient_accumulation_steps"), plan.get("trainer.max_grad_norm")
    whole, count = file.get("train_batch_size"), plan.processes
    if size == "auto" or of_step:  # from which they are found
        steps = math.ceil(of_step / (size * count)) if of_step and isinstance(size, int) and count else None
    said = file.get("gradient_accumulation_steps")
    if size == "auto" and said not in _AUTO:
        key = "trainer.per_device_train_batch_size"
        message = f"{options.config} says gradient_accumulation_steps: {said}, and {key}=auto finds them."
        yield Problem(key, message, 'write "auto" in the file')
    pairs = {
        "train_micro_batch_size_per_gpu": ("per_device_train_batch_size", size),
        "gradient_accumulation_steps": ("gradient_accumulation_steps", steps),
        "gradient_clipping": ("max_grad_norm", longest),
    }
    for there, (name, asked) in pairs.items():
        yield from _differ(options, there, file.get(there), f"trainer.{name}", asked)
    if size == "auto" or of_step:
        given = of_step or "not given"
        yield from _differ(options, "train_batch_size", whole, "trainer.global_batch_size", given)
    elif whole not in _AUTO and count and isinstance(size, int) and steps and whole != size * steps * count:
        message = (
            f"{options.config} says train_batch_size: {whole}, and the options {size} × {steps} × {count} processes."
        )
        key = "trainer.per_device_train_batch_size"
        yield Problem(key, message, f'write "auto" in the file, or options whose product is {whole}')


def _of_precision(options: Deepspeed, file: Mapping[str, Any], plan: Plan) -> Iterator[Problem]:
    asked = plan.get("precision", "auto")
    for name in ("bf16", "fp16"):
        enabled = (file.get(name) or {}).get("enabled")
        if enabled in _AUTO or enabled == (asked == name):
            continue
        message = f"{options.config} says {name}.enabled: {str(enabled).lower()}, and precision is {asked}."
        other = f"precision={name}" if enabled else "another precision"
        yield Problem("precision", message, f'write "auto" in the file, or {other}')


def _of_optimizer(options: Deepspeed, file: Mapping[str, Any], plan: Plan) -> Iterator[Problem]:
    """The optimizer is the trainer's, or a plugin's; a file may say the same."""
    part = file.get("optimizer")
    if not isinstance(part, dict):
        return
    kind, key = part.get("type"), "parallel.config"
    given = str(plan.name("optimizer") if plan.uses("optimizer") else plan.get("trainer.optim", ""))
    if kind not in ("Adam", "AdamW") or not given.startswith("adamw_torch"):
        chosen = f"optimizer={given}" if plan.uses("optimizer") else f"trainer.optim={given}"
        message = f"{options.config} has the optimizer {kind}, and {chosen}."
        yield Problem(key, message, "take `optimizer` out of the file; trainer.optim and plugins choose it")
        return
    for name, said in (part.get("params") or {}).items():
        asked = [plan.get(f"trainer.{own}") for own in _OF_OPTIMIZER.get(name, ())]
        if said not in _AUTO and said != (asked if len(asked) > 1 else next(iter(asked), None)):
            keys = " and ".join(f"trainer.{own}" for own in _OF_OPTIMIZER.get(name, ())) or "no option of the trainer"
            message = f"{options.config} says optimizer.params.{name}: {said}, and {keys} does not."
            yield Problem(key, message, 'write "auto" in the file, and give the value to the trainer')


def _of_schedule(options: Deepspeed, file: Mapping[str, Any], plan: Plan) -> Iterator[Problem]:
    """The schedule is the trainer's; a file may say the same."""
    part = file.get("scheduler")
    if not isinstance(part, dict):
        return
    kind, key, asked = part.get("type"), "trainer.lr_scheduler_type", plan.get("trainer.lr_scheduler_type")
    same = _SCHEDULES.get(str(kind))
    if same != asked:
        message = f"{options.config} has the scheduler {kind}, and {key} is {asked}."
        yield Problem(key, message, f"take `scheduler` out of the file{f', or {key}={same}' if same else ''}")
        return
    for name, said in (part.get("params") or {}).items():
        own = f"trainer.{_OF_SCHEDULE[name]}" if name in _OF_SCHEDULE else ""
        if said not in _AUTO and not (name == "warmup_min_lr" and said == 0) and (not own or said != plan.get(own)):
            message = f"{options.config} says scheduler.params.{name}: {said}, and {own or 'no option'} does not."
            yield Problem(key, message, 'write "auto" in the file, and give the value to the trainer')


def _of_parts(options: Deepspeed, file: Mapping[str, Any]) -> Iterator[Problem]:
    """Parts of DeepSpeed that train otherwise than one process would, without a word."""
    for name, instead in LEFT_OUT.items():
        found = file.get(name)
        if found and not (isinstance(found, dict) and found.get("enabled") is False):
            message = f"{options.config} has {name}, which this trainer does not follow."
            yield Problem("parallel.config", message, f"take it out of the file; {instead}")
