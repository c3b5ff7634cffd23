import pytest
from tunesmith_library_testing import RewardSuite
from tunesmith_library_testing.parts import StubPlan
from tunesmith_reward_format import Format


class TestFormat(RewardSuite):
    plugin = Format
    better = "<think>2 and 2\nare 4</think>\n<answer>4</answer>\n"
    worse = "4"


@pytest.mark.parametrize(
    ("answer", "good"),
    [
        ("<think></think><answer></answer>", True),
        ("<think>a</think> well <answer>4</answer>", False),
        ("<think>a</think><answer>4</answer> So it is 4.", False),
        ("<think>a</think><answer>4</answer><answer>5</answer>", False),
        ("<think>a<think>b</think></think><answer>5</answer>", False),
    ],
)
def test_thinking_before_answering(answer, good):
    assert Format().score(completions=[answer]) == [float(good)]


def test_part_of_an_answer():
    assert Format(pattern=r"\d+", whole=False).score(completions=["it is 42", "no"]) == [1.0, 0.0]
    assert Format(pattern=r"\d+").score(completions=["it is 42", "42"]) == [0.0, 1.0]


def test_a_pattern_that_is_none():
    (problem,) = Format(pattern="[").check(plan=StubPlan({}))
    assert problem.key == "reward.format.pattern"
