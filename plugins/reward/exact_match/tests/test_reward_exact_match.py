import pytest
from tunesmith import DataError
from tunesmith_library_testing import RewardSuite
from tunesmith_library_testing.parts import StubPlan
from tunesmith_reward_exact_match import ExactMatch


class TestExactMatch(RewardSuite):
    plugin = ExactMatch
    row = {"answer": "The whale"}
    better = "the  whale\n"
    worse = "the whale, of course"


@pytest.mark.parametrize(
    ("options", "answer", "expected", "equal"),
    [
        ({}, "ＰＡＲＩＳ", "paris", True),  # full-width letters are the same letters
        ({"ignore_case": False}, "paris", "Paris", False),
        ({"ignore_space": False}, "Paris\n", "Paris", False),
        ({"ignore_punctuation": True}, "It's Paris!", "its paris", True),
        ({}, "Paris!", "Paris", False),
        ({}, "Lutetia", ["Paris", "Lutetia"], True),
        ({}, "4", 4, True),
        ({"extract": "<answer>(.*?)</answer>"}, "<answer>no</answer> hm <answer>\nyes</answer>", "yes", True),
        ({"extract": "<answer>(.*?)</answer>"}, "yes", "yes", False),
        ({"extract": r"\d+"}, "first 3, then 12", "12", True),
    ],
)
def test_cases(options, answer, expected, equal):
    assert ExactMatch(**options).score(completions=[answer], rows=[{"answer": expected}]) == [float(equal)]


def test_missing_column():
    with pytest.raises(DataError, match="no solution; it has answer"):
        ExactMatch(column="solution").score(completions=["4"], rows=[{"answer": "4"}])


@pytest.mark.parametrize("expected", ["", " \n", [], ["4", ""], [None], "?!"])
def test_nothing_expected(expected):
    with pytest.raises(DataError, match="nothing is expected in answer"):
        ExactMatch(ignore_punctuation=True).score(completions=[""], rows=[{"answer": expected}])


def test_a_pattern_that_is_none():
    (problem,) = ExactMatch(extract="(").check(plan=StubPlan({}))
    assert problem.key == "reward.exact_match.extract"
