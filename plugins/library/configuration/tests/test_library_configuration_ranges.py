"""Ranges beside fields: what they hold, how they read, and that they are kept."""

from typing import Annotated, Any

import pytest
from tunesmith_library_configuration.options import configurable, options
from tunesmith_library_configuration.ranges import Range, above, at_least, below, between, range_of
from tunesmith_library_configuration.validate import structured

NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("allowed", "inside", "outside", "text"),
    [
        (above(0), [1e-9, 5], [0, -1, NAN, INFINITY], "above 0"),
        (at_least(1), [1, 7], [0, 0.99, -INFINITY], "at least 1"),
        (below(1), [0.5, -3], [1, 2], "below 1"),
        (between(0, 1), [0, 0.5, 1], [-0.1, 1.1, NAN], "from 0 to 1"),
        (Range(0, 1, high_excluded=True), [0, 0.99], [1, -1e-9], "at least 0 and below 1"),
        (Range(0, 1, True, True), [0.5], [0, 1], "above 0 and below 1"),
        (at_least(100_000), [100_000], [99_999], "at least 100,000"),
    ],
)
def test_what_is_inside(allowed: Range, inside: list[float], outside: list[float], text: str) -> None:
    assert [value for value in inside if value not in allowed] == []
    assert [value for value in outside if value in allowed] == []
    assert str(allowed) == text


@pytest.mark.parametrize(
    "annotation",
    [
        Annotated[int, at_least(1)],
        Annotated[int, at_least(1)] | None,
        Annotated[int | None, at_least(1)],
        list[Annotated[int, at_least(1)]],
        dict[str, Annotated[int, at_least(1)]],
        dict[str, list[Annotated[int, at_least(1)]]] | None,
    ],
)
def test_found_wherever_it_is_declared(annotation: Any) -> None:
    assert range_of(annotation) == at_least(1)
    assert range_of(int) is range_of(str | None) is None


@configurable
class Thing:
    """Has numbers."""

    rank: Annotated[int, at_least(1)] = 8  # of a matrix
    rate: Annotated[float, above(0)] | None = None  # per step
    betas: list[Annotated[float, Range(0, 1, high_excluded=True)]] = [0.9, 0.999]  # decays
    ranks: dict[str, Annotated[int, at_least(1)]] = {}  # by layer
    loud: bool = False  # no number


@pytest.mark.parametrize(
    ("values", "key", "possible"),
    [
        ({"rank": 0}, "thing.rank", "at least 1"),
        ({"rate": 0}, "thing.rate", "above 0"),
        ({"rate": NAN}, "thing.rate", "above 0"),
        ({"rate": INFINITY}, "thing.rate", "above 0"),
        ({"betas": [0.9, 1.0]}, "thing.betas[1]", "at least 0 and below 1"),
        ({"ranks": {"q_proj": 4, "v_proj": -4}}, "thing.ranks.v_proj", "at least 1"),
    ],
)
def test_what_is_out_of_range_is_a_problem_at_its_place(values: dict[str, Any], key: str, possible: str) -> None:
    _, (problem,) = structured(Thing, values, ("thing",), "thing")
    assert (str(problem.key), problem.advice) == (key, f"possible: {possible}")
    assert problem.message.startswith(f"{key} cannot be ")


def test_what_is_in_range_is_none() -> None:
    right = {"rank": 1, "rate": 1e-6, "betas": [0.0], "ranks": {"a": 1}, "loud": True}
    assert structured(Thing, right, ("thing",), "thing")[1] == []
    assert structured(Thing, {"rate": None}, ("thing",), "thing")[1] == []


def test_help_shows_it() -> None:
    told = {option.name: option.type_name for option in options(Thing)}
    assert told["rank"] == "int, at least 1" and told["rate"] == "float | null, above 0" and told["loud"] == "bool"
