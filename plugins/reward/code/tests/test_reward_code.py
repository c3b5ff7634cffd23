import os
import sys

import pytest
from tunesmith import DataError
from tunesmith.keys import Key
from tunesmith.validate import structured
from tunesmith_library_testing import RewardSuite
from tunesmith_library_testing.parts import StubPlan
from tunesmith_reward_code import Code
from tunesmith_reward_code.running import program_of
from tunesmith_reward_code.soundness import fault_of

GOOD = "Of course:\n```python\ndef add(a, b):\n    return a + b\n```\nIt adds."
TESTS = ["assert add(1, 2) == 3", "assert add('a', 'b') == 'ab'", "assert add(0, 0) is None"]


class TestCode(RewardSuite):
    plugin = Code
    row = {"tests": "assert add(1, 2) == 3"}
    better = GOOD
    worse = GOOD.replace("a + b", "a - b")


def score(answer, tests=TESTS[0], **options):
    return Code(**{"timeout": 10.0, **options}).score(completions=[answer], rows=[{"tests": tests}])[0]


def test_the_share_of_tests():
    assert score(GOOD, TESTS) == pytest.approx(2 / 3)
    assert score(GOOD, TESTS, all_or_nothing=True) == 0.0
    assert score(GOOD, TESTS[:2], all_or_nothing=True) == 1.0


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        ("x = 1", "x = 1"),
        ("```\nx = 1\n```", "x = 1\n"),
        ("```python\nx = 1\n```\nor\n```py\nx = 2\n```\n```bash\nls\n```", "x = 2\n"),
        (" \n", None),
    ],
)
def test_the_program_of_an_answer(answer, program):
    assert program_of(answer) == program


@pytest.mark.parametrize(
    "program",
    [
        "def add(a, b: return",
        "import sys; sys.exit(0)",
        "import os; os._exit(0)",
        "print('passed'); raise SystemExit",
        "import os; os.write(1, b'0' * 32); os._exit(0)",
    ],
    ids=["syntax", "exit", "hard exit", "prints", "guesses"],
)
def test_what_does_not_pass(program):
    assert score(program) == 0.0


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_memory_ends():
    hungry = "def add(a, b):\n    return len(bytearray(400 << 20)) and a + b"
    assert score(hungry, memory=1024) == 1.0
    assert score(hungry, memory=256) == 0.0


def test_the_environment_is_not_seen(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "hush")
    assert score("import os", "assert 'MY_TOKEN' not in os.environ") == 1.0
    assert "MY_TOKEN" in os.environ


def test_rows_without_tests():
    with pytest.raises(DataError, match="no tests in tests"):
        Code().score(completions=["x"], rows=[{"answer": 1}])


@pytest.mark.parametrize(
    ("test", "fault"),
    [
        ("", "is empty"),
        ("# nothing\n'nothing'", "is empty"),
        ("import math\nLIMIT = [1, 2]", "is empty"),
        ("META = {'author': 'x'}\n\ndef check(candidate):\n    assert candidate(1) == 2", "only defines check"),
        ("class T:\n    def test(self): assert add(1, 2) == 3", "only defines T"),
        ("x = 1\nassert add(1) == (", r"is no Python: .* in line 2: assert add\(1\) == \("),
        ("return add(1, 2) == 3", "is no Python: 'return' outside function, in line 1: return add"),
        ("assert add('\0', '') == ''", "is no Python"),
        ("assert add('\ud800', '') == ''", "is no Python"),
        ("assert " + "-" * 100_000 + "1", "is no Python"),
    ],
)
def test_tests_that_judge_nothing(test, fault):
    with pytest.raises(DataError, match=rf"test 2 of 2 in tests of a row {fault}(.|\n)*first test: 'assert add\(1, 2"):
        Code().score(completions=["x = 1"], rows=[{"tests": [TESTS[0], test]}])


def test_tests_that_judge():
    for test in (
        "pass",
        "x = add",
        "x = add(1, 2)",
        "@add\ndef f(): pass",
        "if add: pass",
        "def g(): add\ng()",
        "x: int = add",
    ):
        assert fault_of(test) == ""


@pytest.mark.parametrize(
    ("option", "found", "severities"),
    [
        ("auto", "namespaces", []),
        ("auto", "process", ["warning"]),
        ("required", "bubblewrap", []),
        ("required", "process", ["error"]),
        ("none", "namespaces", ["warning"]),
    ],
)
def test_which_isolation_applies_is_said(option, found, severities, monkeypatch, caplog):
    monkeypatch.setattr("tunesmith_reward_code.running.best_isolation", lambda: found)
    plugin = Code(isolation=option)
    problems = plugin.check(plan=StubPlan({}))
    assert [problem.severity for problem in problems] == severities
    assert all("without a sandbox" in problem.message for problem in problems)
    with caplog.at_level("INFO", "tunesmith"):
        plugin.configured(plan=StubPlan({}))
    assert ("plain processes" if severities else found) in caplog.text


def test_values_out_of_range_are_refused():
    values = {"timeout": 0.0, "memory": 1, "workers": 0}
    _, problems = structured(Code, values, Key("reward", "code"), "reward=code")
    assert [str(problem.key) for problem in problems] == [f"reward.code.{name}" for name in values]
