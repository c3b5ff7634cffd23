"""What a reward says of answers: one finite number for each, whoever wrote the reward."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tunesmith_library_configuration.errors import TunesmithError

_EXPECTED = "a reward gives a list with one finite number per answer, in their order"
_SHOWN = 80  # characters of a value or an answer


def numbers(scores: Any, answers: Sequence[str], label: str) -> list[float]:
    """The scores of one reward as floats; numbers of numpy and torch, and true and false, are numbers.

    Args:
        scores: what the reward returned.
        answers: that it was asked about.
        label: the reward's address, for messages.

    Raises: TunesmithError that names the reward, the answer, and what it was given.
    """
    try:
        if isinstance(scores, str | bytes | dict):
            raise TypeError("it is no list")
        given = list(scores)
    except TypeError as error:
        raise TunesmithError(f"{label} gave {_short(scores)} for {len(answers)} answers.\n  {_EXPECTED}") from error
    if len(given) != len(answers):
        raise TunesmithError(f"{label} gave {len(given)} scores for {len(answers)} answers.\n  {_EXPECTED}")
    made = [_number(score) for score in given]
    for place, (score, number) in enumerate(zip(given, made, strict=True)):
        if not math.isfinite(number):
            where = f"answer {place + 1} of {len(answers)}"
            told = f"{label} gave {_short(score)} for {where}, which is no finite number"
            raise TunesmithError(f"{told}.\n  the answer: {_short(answers[place])}\n  {_EXPECTED}")
    return made


def _number(score: Any) -> float:
    """A score as a float; NaN for what is none."""
    try:
        return math.nan if isinstance(score, str | bytes) else float(score)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _short(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
