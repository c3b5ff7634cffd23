"""What rewards may say, and what is said of those that say something else."""

import math
from decimal import Decimal

import pytest
from tunesmith_library_configuration.errors import TunesmithError
from tunesmith_library_configuration.scoring import numbers


def test_numbers_of_every_kind() -> None:
    numpy = pytest.importorskip("numpy")
    assert numbers([1, 0.5, True], ["a", "b", "c"], "reward.mine") == [1.0, 0.5, 1.0]
    assert numbers(numpy.array([1, 2], numpy.int8), ["a", "b"], "reward.mine") == [1.0, 2.0]
    assert numbers((Decimal(score) for score in ("1", "0.25")), ["a", "b"], "reward.mine") == [1.0, 0.25]
    assert numbers([], [], "reward.mine") == []


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([1.0], "gave 1 scores for 2 answers"),
        (["1", "1"], "gave '1' for answer 1 of 2, which is no finite number"),
        ([1, math.nan], "gave nan for answer 2 of 2"),
        ([1, math.inf], "gave inf for answer 2 of 2"),
        ([1, None], "gave None for answer 2 of 2"),
        ([1, [1]], r"gave \[1\] for answer 2 of 2"),
        ([1, 10**400], "gave 1000"),
        ([1, "\ud800"], r"gave '\\ud800' for answer 2"),
        (0.5, "gave 0.5 for 2 answers"),
        (None, "gave None for 2 answers"),
        ("11", "gave '11' for 2 answers"),
        ({0: 1.0, 1: 1.0}, "gave {0: 1.0, 1: 1.0} for 2 answers"),
    ],
)
def test_what_is_no_score(scores: object, said: str) -> None:
    with pytest.raises(TunesmithError, match=rf"^reward\.mine {said}(.|\n)*one finite number per answer"):
        numbers(scores, ["Yes.", "No."], "reward.mine")
