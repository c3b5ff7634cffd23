"""What each course of the learning rate is told by `lr_scheduler_kwargs`, and what it makes of the warm-up.

The signatures are transformers' (and torch's of `reduce_lr_on_plateau`), written down so that a plan needs neither; a
test compares them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tunesmith.errors import choices
from tunesmith.types import Problem

if TYPE_CHECKING:
    from tunesmith_trainer_transformers import Transformers

_KEY = "trainer.lr_scheduler_kwargs"


def _number(least: float, most: float = math.inf, *, whole: bool = False) -> tuple[str, Callable[[Any], bool]]:
    """What a number must be, in words, and whether a value is so."""

    def suits(value: Any) -> bool:
        kinds = int if whole else int | float
        return isinstance(value, kinds) and not isinstance(value, bool) and least <= value <= most and value != math.inf

    kind = "a whole number" if whole else "a number"
    return f"{kind} from {least:g} on" if most == math.inf else f"{kind} from {least:g} to {most:g}", suits


def _one_of(*possible: str) -> tuple[str, Callable[[Any], bool]]:
    return f"one of {', '.join(possible)}", lambda value: value in possible


_CYCLES = _number(0)
_SHAPE = _one_of("linear", "cosine", "1-sqrt")

ARGUMENTS: dict[str, dict[str, tuple[str, Callable[[Any], bool]]]] = {
    "linear": {},
    "cosine": {"num_cycles": _CYCLES},
    "cosine_with_restarts": {"num_cycles": _number(1, whole=True)},
    "cosine_with_min_lr": {"num_cycles": _CYCLES, "min_lr": _number(0), "min_lr_rate": _number(0, 1)},
    "cosine_warmup_with_min_lr": {
        **{"num_cycles": _CYCLES, "min_lr": _number(0), "min_lr_rate": _number(0, 1)},
        "warmup_lr_rate": _number(0, 1),
    },
    "polynomial": {"lr_end": _number(0), "power": _number(0)},
    "constant": {},
    "constant_with_warmup": {},
    "inverse_sqrt": {"timescale": _number(1, whole=True)},
    "warmup_stable_decay": {
        "num_decay_steps": _number(0, whole=True),
        "num_stable_steps": _number(0, whole=True),
        "warmup_type": _SHAPE,
        "decay_type": _SHAPE,
        "min_lr_ratio": _number(0, 1),
        "num_cycles": _CYCLES,
    },
    "reduce_lr_on_plateau": {
        "mode": _one_of("min", "max"),
        "factor": _number(0, math.nextafter(1, 0)),
        "patience": _number(0, whole=True),
        "threshold": _number(0),
        "threshold_mode": _one_of("rel", "abs"),
        "cooldown": _number(0, whole=True),
        "min_lr": _number(0),
        "eps": _number(0),
    },
}
"""By the name of a course: its arguments, and what each must be."""

_WITH_FLOOR = ("cosine_with_min_lr", "cosine_warmup_with_min_lr")

WITHOUT_WARMUP = ("constant", "reduce_lr_on_plateau")
"""The courses that begin at their peak."""


def schedule_problems(options: Transformers) -> list[Problem]:
    """What is wrong with the course of the learning rate."""
    name, given = options.lr_scheduler_type, options.lr_scheduler_kwargs
    found = []
    for key, value in given.items():
        if key not in ARGUMENTS[name]:
            possible = choices(key, ARGUMENTS[name]) if ARGUMENTS[name] else "it takes none"
            found.append(Problem(f"{_KEY}.{key}", f"lr_scheduler_type={name} has no argument {key}.", possible))
            continue
        words, suits = ARGUMENTS[name][key]
        if not suits(value):
            found.append(Problem(f"{_KEY}.{key}", f"{key}={value!r} must be {words}.", ""))
    return [*found, *([] if found else _combination(options)), *_warmup(options)]


def _combination(options: Transformers) -> Iterator[Problem]:
    """What goes wrong between arguments that are right by themselves."""
    name, given = options.lr_scheduler_type, options.lr_scheduler_kwargs
    if name in _WITH_FLOOR and ("min_lr" in given) == ("min_lr_rate" in given):
        advice = f"{_KEY}={{min_lr_rate: 0.1}} ends at a tenth of learning_rate"
        yield Problem(_KEY, f"lr_scheduler_type={name} needs one of min_lr and min_lr_rate.", advice)
    if name in _WITH_FLOOR and given.get("min_lr", 0) > options.learning_rate:
        message = f"min_lr={given['min_lr']:g} is above learning_rate={options.learning_rate:g}."
        yield Problem(f"{_KEY}.min_lr", message, "a smaller one, or min_lr_rate")
    falls = name == "warmup_stable_decay" and "num_decay_steps" in given
    if falls and options.max_steps > 0 and "num_stable_steps" not in given:
        rising, falling = options.warmup_steps or 0, given["num_decay_steps"]
        if rising + falling > options.max_steps:
            message = (
                f"warmup_steps={rising} and num_decay_steps={falling} are more than max_steps={options.max_steps}."
            )
            yield Problem(f"{_KEY}.num_decay_steps", message, f"at most {max(options.max_steps - rising, 0)}")
    if name == "polynomial" and given.get("lr_end", 1e-7) >= options.learning_rate:
        message = f"lr_end={given.get('lr_end', 1e-7):g} is not below learning_rate={options.learning_rate:g}."
        yield Problem(f"{_KEY}.lr_end", message, f"{_KEY}={{lr_end: 0}}")


def _warmup(options: Transformers) -> Iterator[Problem]:
    """A warm-up that a course leaves out, or that never ends."""
    name = options.lr_scheduler_type
    default = type(options).warmup_ratio
    asked = [
        f"{key}={value:g}"
        for key, value, usual in (
            ("warmup_steps", options.warmup_steps or 0, 0),
            ("warmup_ratio", options.warmup_ratio, default),
        )
        if value and value != usual
    ]
    if name in WITHOUT_WARMUP and asked:
        advice = "trainer.lr_scheduler_type=constant_with_warmup" if name == "constant" else "leave it out"
        key = f"trainer.{asked[0].partition('=')[0]}"
        yield Problem(key, f"{asked[0]} has no effect: lr_scheduler_type={name} has no warm-up.", advice, "warning")
    elif options.warmup_steps and 0 < options.max_steps <= options.warmup_steps:
        message = (
            f"warmup_steps={options.warmup_steps} of max_steps={options.max_steps}: learning_rate is never reached."
        )
        yield Problem("trainer.warmup_steps", message, "a shorter warm-up", "warning")
    if options.warmup_steps is not None and options.warmup_ratio != default:
        message = f"warmup_steps={options.warmup_steps} takes the place of warmup_ratio={options.warmup_ratio:g}."
        yield Problem("trainer.warmup_ratio", message, "leave one of them out", "warning")
