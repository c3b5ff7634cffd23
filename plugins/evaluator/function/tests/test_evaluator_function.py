"""The user's function: what it is given, what it may give, and what is told of one that fails."""

from dataclasses import replace

import pytest
from tunesmith import TunesmithError
from tunesmith_evaluator_function import Function
from tunesmith_library_chat.thoughts import Thinking
from tunesmith_library_evaluating import EvaluationData
from tunesmith_library_testing import EvaluatorSuite
from tunesmith_library_testing.engine import scripted_chat
from tunesmith_library_testing.parts import CHATML, StubPlan, handle_of

SOURCE = """
def length(prediction):
    return len(prediction)

def named(prompt, prediction, answer, row, thought, unfinished):
    assert prompt[0]["role"] == "user"
    row.clear()
    return {"right": prediction == answer, "hm": len(thought)}

def everything(**given):
    return len(given)

def fails(row):
    return 1 / row["number"]

def words(prediction):
    return "many"

def taken(prediction):
    return {"prompt": 1}

def nan(prediction):
    return float("nan")

def wants(prediction, label):
    return 1
"""


@pytest.fixture(autouse=True)
def functions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.py").write_text(SOURCE)


class TestFunctionEvaluator(EvaluatorSuite):
    plugin = Function
    options = {"function": "my.py:length", "max_new_tokens": 24}


@pytest.fixture
def evaluate(tiny_llama, tiny_bpe):
    template = replace(CHATML, thinking=Thinking())

    def found(name, answers=("Yes.", "<think>\nHm", ""), **options):
        rows = [
            {
                "messages": [{"role": "user", "content": f"{at}?"}, {"role": "assistant", "content": "Yes."}],
                "number": 1 - at,
            }
            for at in range(len(answers))
        ]
        data = EvaluationData(rows=lambda: {"mine": rows}, examples=dict)
        handle = handle_of(tiny_llama, tiny_bpe, template=template)
        with scripted_chat(handle, lambda prompt: answers[int(prompt.partition("user\n")[2][0])]) as chat:
            return Function(function=f"my.py:{name}", **options).evaluate(chat=chat, data=data)

    return found


def test_a_number(evaluate):
    found = evaluate("length", lower_is_better=["score"])
    score = found.metrics["mine"]["score"]
    assert [record["score"] for record in found.records] == [4, 0, 0]
    assert (score.value, score.count, score.greater_is_better) == (pytest.approx(4 / 3), 3, False)
    assert found.metrics["mine"]["unfinished"].value == pytest.approx(1 / 3)


def test_numbers_by_name(evaluate):
    """What the function does to its arguments stays with it."""
    found = evaluate("named")
    assert [(it["right"], it["hm"]) for it in found.records] == [(1, 0), (0, 2), (0, 0)]
    assert found.metrics["mine"]["right"].value == pytest.approx(1 / 3) and found.records[0]["answer"] == "Yes."


def test_all_arguments(evaluate):
    assert evaluate("everything").metrics["mine"]["score"].value == 7


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fails", r"my.py:fails, at row 1 of data set mine: ZeroDivisionError.*\n  .*my.py:\d+: return 1 / row"),
        ("words", "at row 0 of data set mine: it gave 'many', where a number is wanted"),
        ("taken", "it named a number 'prompt'"),
        ("nan", "it gave score: nan"),
        ("wants", "my.py:wants wants label"),
        ("lenght", "did you mean length"),
    ],
)
def test_what_goes_wrong_while_measuring(evaluate, name, message):
    with pytest.raises(TunesmithError, match=message):
        evaluate(name)


@pytest.mark.parametrize(("path", "message"), [("length", "names no function"), ("my.py:lenght", "defines no lenght")])
def test_what_is_wrong_with_a_function_beforehand(path, message):
    (problem,) = Function(function=path).check(plan=StubPlan({}))
    assert message in problem.message and str(problem.key) == "evaluator.function.function"
