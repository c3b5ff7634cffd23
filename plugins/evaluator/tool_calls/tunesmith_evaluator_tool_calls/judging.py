"""Calls beside the expected ones, in any order: functions, arguments as a whole, arguments one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith_library_evaluating import Measured
from tunesmith_library_evaluating.replies import Reply
from tunesmith_library_evaluating.statistics import mean
from tunesmith_library_scoring.schemas import same_json

from tunesmith_evaluator_tool_calls.tools import Call, Tools


def judged(reply: Reply, tools: Tools) -> dict[str, Any]:
    """The numbers of one answer, each where it has a meaning, and what is wrong with its calls.

    - `accuracy`: all calls are the expected ones, or none is made where none is expected, and something is said.
    - `valid`: all calls that were made can be carried out.
    - Where calls are expected: `missed` (none was made), `name_accuracy`, `call_accuracy`, `argument_accuracy`.
    - Where none is: `needless` (one was made).
    """
    made = [Call.of(call) for call in reply.answer.calls]
    expected = [Call.of(call) for call in (reply.prompt.expected or {}).get("tool_calls") or ()]
    numbers: dict[str, Any] = {}
    if expected:
        shares = argument_shares(expected, made)
        equal = len(made) == len(expected) and all(share == 1.0 for share in shares)
        names = Counter(call.name for call in made) == Counter(call.name for call in expected)
        numbers |= {"accuracy": float(equal), "name_accuracy": float(names), "call_accuracy": float(equal)}
        numbers |= {"argument_accuracy": sum(shares) / len(shares), "missed": float(not made)}
    else:
        numbers |= {"accuracy": float(not made and bool(reply.answer.text.strip())), "needless": float(bool(made))}
    if made:
        problems = [problem for problem in map(tools.problem, made) if problem]
        numbers |= {"valid": float(not problems), **({"problem": "; ".join(problems)} if problems else {})}
    return numbers


def measured(numbers: Sequence[Mapping[str, Any]], metrics: Mapping[str, bool]) -> dict[str, Measured]:
    """The means of what the examples have, each over those that have it."""
    found = {name: [own[name] for own in numbers if name in own] for name in metrics}
    return {name: mean(values, greater_is_better=metrics[name]) for name, values in found.items() if values}


def argument_shares(expected: Sequence[Call], made: Sequence[Call]) -> list[float]:
    """Of each expected call the share of right arguments in the call that was made of its function: equal ones, of all
    that are expected or given. Calls that have the most in common belong together, each to one; 0 where there is none.
    """
    pairs = [
        (_share(one.arguments, other.arguments), place, at)
        for place, one in enumerate(expected)
        for at, other in enumerate(made)
        if one.name == other.name
    ]
    shares, taken = {}, set[int]()
    for share, place, at in sorted(pairs, key=lambda pair: (-pair[0], pair[1:])):
        if place not in shares and at not in taken:
            shares[place] = share
            taken.add(at)
    return [shares.get(place, 0.0) for place in range(len(expected))]


def _share(expected: Any, given: Any) -> float:
    if not isinstance(expected, dict) or not isinstance(given, dict):
        return float(same_json(expected, given))
    keys = expected.keys() | given.keys()
    equal = sum(same_json(expected[key], given[key]) for key in expected.keys() & given.keys())
    return equal / len(keys) if keys else 1.0
