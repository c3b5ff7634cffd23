"""What `tunesmith eval compare` reads, and how it tells what it found."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from tunesmith.cli.tables import print_table
from tunesmith.errors import ConfigError, choices
from tunesmith_library_evaluating import Measured
from tunesmith_library_evaluating.comparing import Comparison, Difference, Pair, compare
from tunesmith_library_evaluating.writing import found_in, number_as_json, read, short_name

_SIDES = ("A", "B")
_LONGEST = 300  # characters of a text that is shown of an example
_SHOWN = ("prompt", "answer")  # what both records of an example have


@dataclass(frozen=True)
class Compared:
    """The two evaluations of one evaluator."""

    evaluator: str
    comparison: Comparison


def compared(first: Path, second: Path, evaluator: str | None) -> list[Compared]:
    """Compare what two folders hold.

    Args:
        evaluator: which; None: all that both have.

    Raises: ConfigError when there is nothing to compare.
    """
    mine, theirs = found_in(first), found_in(second)
    for folder, found in ((first, mine), (second, theirs)):
        if not found:
            raise ConfigError(f"{folder} holds no evaluation.\nmeasure it: tunesmith eval {folder} evaluator=[NAME]")
    both = [name for name in mine if name in theirs]
    asked = both if evaluator is None else [name for name in both if name == short_name(evaluator)]
    if not asked:
        lacks = f"{evaluator or 'an evaluator'} is not in both {first} and {second}."
        there = f"  {first}: {', '.join(mine)}\n  {second}: {', '.join(theirs)}"
        raise ConfigError(f"{lacks}\n{there}\n{choices(evaluator or '', both, 'in both')}")
    return [Compared(name, compare(read(mine[name]), read(theirs[name]))) for name in asked]


def tell(found: Sequence[Compared], examples: int, sides: tuple[str, str] = _SIDES) -> None:
    """Print a table of the differences, what to know of it, and examples that changed.

    Args:
        examples: to show of what is better and of what is worse, for each data set.
        sides: what the two are called.
    """
    columns = ("evaluator", "data set", "metric", *sides, "difference", "95 %", "p", "better / worse / same")
    print_table(columns, [_row(short_name(each.evaluator), it) for each in found for it in each.comparison.differences])
    for each in found:
        for line in _notes(each.comparison, sides):
            click.echo(f"{short_name(each.evaluator)}: {line}")
    for each in found:
        for line in _examples(each, examples, sides):
            click.echo(line)


def _row(evaluator: str, it: Difference) -> tuple[str, ...]:
    interval = "" if it.interval is None else f"{it.interval[0]:+.3g} … {it.interval[1]:+.3g}"
    p_value = "" if it.p_value is None else f"{it.p_value:.2g}"
    better, worse = len(it.better), len(it.worse)
    counts = f"{better:,} / {worse:,} / {it.pairs - better - worse:,}" if it.paired else ""
    numbers = (_number(it.first), _number(it.second), f"{it.value:+.4g}", interval, p_value)
    return evaluator, it.part, it.metric, *numbers, counts


def _number(number: Measured) -> str:
    error = "" if number.standard_error is None else f" ± {number.standard_error:.2g}"
    return f"{number.value:.5g}{error}"


def _notes(comparison: Comparison, sides: tuple[str, str]) -> Iterator[str]:
    """What a reader of the table has to know."""
    first, second = sides
    for name, (mine, theirs) in comparison.settings.items():
        yield f"{name} differs, which moves the numbers too: {mine!r} in {first}, {theirs!r} in {second}"
    if comparison.only_first or comparison.only_second:
        counts = f"{comparison.only_first:,} are in {first} only, {comparison.only_second:,} in {second} only"
        yield f"{comparison.pairs:,} examples are in both, and are compared; {counts}"
    if comparison.other:
        yield f"{comparison.other:,} examples have another prompt or expected answer, and are not compared"
    lone = [f"{it.part} {it.metric}" for it in comparison.differences if not it.paired]
    if lone:
        yield f"by standard errors, not by pairs of examples: {', '.join(lone)}"
    if not comparison.differences:
        yield "they have no metric of the same data set and name"


def _examples(found: Compared, most: int, sides: tuple[str, str]) -> Iterator[str]:
    """Examples that changed by the first metric of each data set that is compared by pairs."""
    parts: dict[str, Difference] = {}
    for difference in found.comparison.differences:
        if difference.paired and difference.changed:
            parts.setdefault(difference.part, difference)
    for part, difference in parts.items():
        for word, pairs in (("better", difference.better), ("worse", difference.worse)):
            for pair in pairs[:most]:
                yield f"\n{word} in {sides[1]}: {short_name(found.evaluator)}, {part}, example {pair[0]['index']}"
                yield from _example(pair, difference.metric, sides)


def _example(pair: Pair, metric: str, sides: tuple[str, str]) -> Iterator[str]:
    for name in _SHOWN:
        if pair[0].get(name) is not None:
            yield f"  {name}: {_text(pair[0][name])}"
    for side, record in zip(sides, pair, strict=True):
        said = f"  {_text(record['prediction'])}" if "prediction" in record else ""
        yield f"  {side}: {metric} {record[metric]:.5g}{said}"


def _text(value: Any) -> str:
    """Something of a record in one line."""
    if isinstance(value, list) and value and isinstance(value[-1], Mapping) and "content" in value[-1]:
        value = value[-1]["content"]  # the last message of a prompt
    text = " ".join((value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def in_json(found: Sequence[Compared], examples: int) -> str:
    """The same for programs."""
    return json.dumps([_as_json(each, examples) for each in found], indent=2, ensure_ascii=False)


def _as_json(found: Compared, examples: int) -> dict[str, Any]:
    comparison = found.comparison
    return {
        "evaluator": found.evaluator,
        "pairs": comparison.pairs,
        "only_first": comparison.only_first,
        "only_second": comparison.only_second,
        "other_examples": comparison.other,
        "settings": {name: list(values) for name, values in comparison.settings.items()},
        "differences": [_difference(it, examples) for it in comparison.differences],
    }


def _difference(it: Difference, examples: int) -> dict[str, Any]:
    return {
        "dataset": it.part,
        "metric": it.metric,
        "first": number_as_json(it.first),
        "second": number_as_json(it.second),
        "difference": it.value,
        "interval": it.interval,
        "p_value": it.p_value,
        "paired": it.paired,
        "pairs": it.pairs,
        "num_better": len(it.better),
        "num_worse": len(it.worse),
        "better": [list(pair) for pair in it.better[:examples]],
        "worse": [list(pair) for pair in it.worse[:examples]],
    }
