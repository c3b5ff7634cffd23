from pathlib import Path

import pytest
from tunesmith import TunesmithError
from tunesmith_library_testing import RewardSuite
from tunesmith_library_testing.parts import StubPlan
from tunesmith_reward_function import Function

SOURCE = """
calls = []

def vowels(prompts, completions, rows):
    calls.append(len(completions))
    return [sum(letter in "aeiou" for letter in text) / max(len(text), 1) for text in completions]

def told(prompts, completions, rows):
    return [float(prompt[-1]["content"] == "Sum?") + row["bonus"] for prompt, row in zip(prompts, rows)]

def short(prompts, completions, rows):
    return [0.0]

def nothing(prompts, completions, rows):
    return None

def nan(prompts, completions, rows):
    return [float("nan")] * len(completions)
"""


@pytest.fixture(autouse=True)
def rewards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rewards.py").write_text(SOURCE)
    return tmp_path / "rewards.py"


class TestFunction(RewardSuite):
    plugin = Function
    options = {"path": "rewards.py:vowels"}
    better = "aeiou"
    worse = "rhythm"


def score(path: str, completions: list[str], **given):
    prompts = given.get("prompts", [[{"role": "user", "content": "?"}]] * len(completions))
    return Function(path=path).score(prompts=prompts, completions=completions, rows=given.get("rows", [{}, {}]))


def test_what_it_is_called_with():
    prompts = [[{"role": "user", "content": "Sum?"}], [{"role": "user", "content": "Product?"}]]
    rows = [{"bonus": 1.0}, {"bonus": 2.0}]
    assert score("rewards.py:told", ["a", "b"], prompts=prompts, rows=rows) == [2.0, 2.0]


def test_a_function_of_a_module(tmp_path, monkeypatch):
    (tmp_path / "my_tunesmith_rewards.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    assert score("my_tunesmith_rewards:vowels", ["a", "b"]) == [1.0, 0.0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rewards.py:short", "1 scores for 2 answers"),
        ("rewards.py:nothing", "gave NoneType, not a list"),
        ("rewards.py:nan", "gave nan for answer 0"),
        ("rewards.py:vowel", "did you mean vowels"),
        ("no_such_module:f", "cannot be imported"),
    ],
)
def test_what_goes_wrong_while_training(name, message):
    with pytest.raises(TunesmithError, match=message):
        score(name, ["a", "b"])


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("vowels", "names no function"),
        ("rewards.py:", "names no function"),
        ("reward.py:vowels", "there is no file"),
        ("rewards.py:vowel", "defines no vowel"),
    ],
)
def test_what_is_wrong_beforehand(path, message):
    (problem,) = Function(path=path).check(plan=StubPlan({}))
    assert message in problem.message


def test_a_file_that_is_not_python(rewards):
    rewards.write_text("def vowels(:\n")
    (problem,) = Function(path="rewards.py:vowels").check(plan=StubPlan({}))
    assert "line 1" in problem.message
