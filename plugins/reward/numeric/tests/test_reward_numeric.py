import pytest
from tunesmith import DataError
from tunesmith.keys import Key
from tunesmith.validate import structured
from tunesmith_library_testing import RewardSuite
from tunesmith_reward_numeric import Numeric, number_of


class TestNumeric(RewardSuite):
    plugin = Numeric
    row = {"answer": "6 times 7 is\n#### 42"}
    better = "So there are 42.0 of them."
    worse = "There are 43."


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", None),
        ("none at all", None),
        ("first 3, then 12.", 12),
        ("$1,234.50", 1234.5),
        ("1,2,3", 3),
        ("-7", -7),
        ("it is −7 °C", -7),
        ("5-3", 3),
        ("3e-2", 0.03),
        (".5", 0.5),
        ("2/3", 2 / 3),
        (r"\boxed{12} of 30", 12),
        (r"\boxed{1}, no, \boxed{\frac{3}{4}} of 100", 0.75),
        (r"\boxed{x = -\frac{1}{2}}", -0.5),
        (r"\boxed{\text{about } 5}", 5),
        ("1/0", None),
        ("1e999", float("inf")),
        ("2024-01-15", 15),
    ],
)
def test_the_number_of_a_text(text, number):
    assert number_of(text) == (number if number is None else pytest.approx(number))


def test_tolerance():
    row = [{"answer": 3.14159}]
    assert Numeric(tolerance=0.01).score(completions=["3.14"], rows=row) == [1.0]
    assert Numeric().score(completions=["3.14"], rows=row) == [0.0]
    assert Numeric(absolute_tolerance=0.5).score(completions=["0.4"], rows=[{"answer": 0}]) == [1.0]


def test_rows_that_cannot_be_scored():
    with pytest.raises(DataError, match="no answer; it has question"):
        Numeric().score(completions=["4"], rows=[{"question": "2+2?"}])
    with pytest.raises(DataError, match="no number in the column answer: 'four'"):
        Numeric().score(completions=["4"], rows=[{"answer": "four"}])


def test_values_out_of_range_are_refused():
    values = {"tolerance": -1.0, "absolute_tolerance": -1.0}
    _, problems = structured(Numeric, values, Key("reward", "numeric"), "reward=numeric")
    assert [str(problem.key) for problem in problems] == [f"reward.numeric.{name}" for name in values]
