"""Runs of words that evaluation and training sets have in common, against plain sets of tuples."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from tunesmith_library_linting import Contamination, Item


def items(name: str, texts: list[str]) -> list[Item]:
    return [Item(name, number, "", None, {"text": text}, {"text": text}) for number, text in enumerate(texts, 1)]


def runs(text: str, length: int) -> list[tuple[str, ...]]:
    words = re.findall(r"[一-鿿]|[a-z0-9]+", text.lower())
    return [tuple(words[at : at + length]) for at in range(len(words) - length + 1)]


def looked(train: list[str], test: list[str], run: int = 13) -> Any:
    found = Contamination(run)
    found.measured_on(items("test", test))
    rows = items("train", train)
    for start in range(0, len(rows), 7):
        found.look(rows[start : start + 7])
    return found.overlaps()["test"]


@pytest.mark.parametrize("run", [3, 13])
def test_shares_equal_plain_sets(run: int) -> None:
    """Few words, so that much is alike; examples shorter than a run are one."""
    draws = random.Random(0)
    words = ["whale", "sings", "tide", "turns", "鲸", "鱼"]

    def text(least: int) -> str:
        return " ".join(draws.choices(words, k=draws.randint(least, 40)))

    train = [text(1) for _ in range(60)]
    test = [text(8) for _ in range(20)] + [train[4], train[9] + " " + text(20), "whale " * 9]
    overlap = looked(train, test, run)
    assert len(overlap.examples) == len(test) and not overlap.short
    for example, wanted in zip(overlap.examples, test, strict=True):
        length = min(run, len(runs(wanted, 1)))
        trained = {each for row in train for each in runs(row, length)}
        of_example = runs(wanted, length)
        assert (example.runs, example.found) == (len(of_example), sum(each in trained for each in of_example))
    assert overlap.mean == pytest.approx(sum(it.found / it.runs for it in overlap.examples) / len(test))


def test_training_rows_are_named() -> None:
    """Those with most of the example first, of equal rows the first; runs do not reach over the end of a row."""
    long = " ".join(f"w{number}" for number in range(40))
    parts = long.split()
    train = ["nothing " * 20, " ".join(parts[20:]), " ".join(parts[:21]), long, " ".join(parts[:12])]
    (example,) = looked(train[:3], [long]).examples
    assert example.rows == ("row 3 of train", "row 2 of train")
    assert (example.runs, example.found) == (28, 9 + 8)
    assert looked([*train[4:], " ".join(parts[12:24])], [long]).touched == 0
    assert looked(train, [long]).examples[0].share == 1


def test_thresholds_and_short_examples() -> None:
    overlap = looked(["a b c d e f g h i j k l m n"], ["a b c d e f g h i j k l m n", "A b, c d e f g h!", "a b c"])
    assert overlap.short == 1 and [example.row for example in overlap.over(0.7)] == [1, 2]
    assert looked([], ["a b c d e f g h"]).touched == 0
