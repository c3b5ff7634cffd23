"""Problems: everything that is wrong with a configuration, each with its place, told together."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tunesmith_library_configuration.errors import ConfigError, TunesmithError
from tunesmith_library_configuration.keys import Key, Origins, nearest_origin


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a configuration."""

    key: str | Key  # dotted configuration key, `adapter.rank`; "" when it concerns no single key
    message: str  # what is wrong, in one sentence
    advice: str = ""  # what to do instead: possible values, the nearest match, the next command
    severity: Literal["error", "warning"] = "error"


def problem_of(error: TunesmithError, key: Key) -> Problem:
    """An error as one problem of several: its first line says what is wrong, the rest what to do."""
    message, _, advice = str(error).partition("\n")
    return Problem(key, message, advice)


def without_secondary(found: Iterable[Problem], known: Iterable[Problem]) -> list[Problem]:
    """Problems but those of values that are wrong already: defaults stood in their place when these were found."""
    keys = [Key.of(problem.key) for problem in known if problem.severity == "error"]
    wrong = [key for key in keys if len(key) > 1]
    names = [str(key[-1]) for key in wrong if isinstance(key[-1], str)]
    return [
        problem
        for problem in found
        if not any(Key.of(problem.key).within(key) for key in wrong)
        and not any(re.search(rf"\b{re.escape(name)}\b", problem.message) for name in names)
    ]


def report(problems: Iterable[Problem], origins: Origins) -> str:
    """All problems as text: what is wrong, what is possible, and where it is written."""
    parts = []
    for problem in problems:
        lines = [problem.message, *(f"  {line}" for line in problem.advice.splitlines())]
        place = nearest_origin(Key.of(problem.key), origins)
        if place:
            lines.append(f"  {place}")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def refuse(problems: Iterable[Problem], origins: Origins) -> None:
    """Raise one ConfigError that lists every error among the problems; return when there is none."""
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        count = "1 problem" if len(errors) == 1 else f"{len(errors)} problems"
        raise ConfigError(f"{count} in the configuration:\n\n{report(errors, origins)}")
