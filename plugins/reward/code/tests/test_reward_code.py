import os
import sys
import time

import pytest
from tunesmith import DataError
from tunesmith.keys import Key
from tunesmith.validate import structured
from tunesmith_library_testing import RewardSuite
from tunesmith_library_testing.parts import StubPlan
from tunesmith_reward_code import Code
from tunesmith_reward_code.running import program_of

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


def test_time_ends_for_everything_it_started(tmp_path):
    mark = tmp_path / "mark"
    child = f"import time, pathlib; time.sleep(3); pathlib.Path({str(mark)!r}).touch()"
    program = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {child!r}])\nwhile True: pass"
    began = time.monotonic()
    assert score(program, timeout=1.0) == 0.0
    assert time.monotonic() - began < 3
    time.sleep(3)
    assert not mark.exists(), "a process was left behind"


def test_the_environment_is_not_seen(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "hush")
    assert score("import os", "assert 'MY_TOKEN' not in os.environ") == 1.0
    assert "MY_TOKEN" in os.environ


def test_rows_without_tests():
    with pytest.raises(DataError, match="no tests in tests"):
        Code().score(completions=["x"], rows=[{"answer": 1}])


def test_a_warning_when_selected():
    (problem,) = Code().check(plan=StubPlan({}))
    assert problem.severity == "warning" and "without a sandbox" in problem.message


def test_values_out_of_range_are_refused():
    values = {"timeout": 0.0, "memory": 1, "workers": 0}
    _, problems = structured(Code, values, Key("reward", "code"), "reward=code")
    assert [str(problem.key) for problem in problems] == [f"reward.code.{name}" for name in values]
