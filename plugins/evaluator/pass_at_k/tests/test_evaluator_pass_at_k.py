"""pass@k against all subsets, votes by hand, rewards as a training asks them."""

import itertools
from dataclasses import replace

import pytest
from tunesmith import DataError, hookimpl, plugin
from tunesmith_evaluator_pass_at_k import PassAtK
from tunesmith_evaluator_pass_at_k.questions import agreed_on, majority, pass_at_k
from tunesmith_library_chat.thoughts import Thinking
from tunesmith_library_evaluating import EvaluationData
from tunesmith_library_evaluating.statistics import clustered
from tunesmith_library_testing import EvaluatorSuite
from tunesmith_library_testing.engine import scripted_chat
from tunesmith_library_testing.parts import CHATML, StubPlan, handle_of
from tunesmith_reward_exact_match import ExactMatch
from tunesmith_reward_numeric import Numeric


@plugin
class Short:
    """1 for a short answer."""

    weight: float = 0.5  # multiplies the score

    @hookimpl
    def score(self, completions):
        return [float(len(text) < 10) for text in completions]


REWARDS = {"exact_match": ExactMatch(), "numeric": Numeric(), "short": Short()}


class TestPassAtK(EvaluatorSuite):
    plugin = PassAtK
    options = {"rewards": ["exact_match"], "n": 3, "k": [1, 3], "max_new_tokens": 24}

    @classmethod
    def make(cls, **overrides):
        made = super().make(**overrides)
        made.configured(plan=StubPlan({"reward": REWARDS}))
        return made


@pytest.mark.parametrize(("n", "right", "k"), [(6, 2, 1), (6, 2, 3), (6, 0, 2), (6, 6, 4), (5, 3, 3), (4, 1, 4)])
def test_pass_at_k_equals_all_subsets(n, right, k):
    subsets = list(itertools.combinations([True] * right + [False] * (n - right), k))
    assert pass_at_k(n, right, k) == pytest.approx(sum(map(any, subsets)) / len(subsets), abs=1e-15)


@pytest.mark.parametrize(
    ("said", "right", "found"),
    [
        (["4", "4", "5"], [True, True, False], 1),
        (["4", "5", "5", "5"], [True, False, False, False], 0),
        (["4", "5"], [True, False], 1 / 2),
        (["", "", "4"], [False, False, True], 1),
        (["", ""], [False, False], 0),
    ],
)
def test_votes(said, right, found):
    assert majority(said, right) == found


def test_what_is_voted_on():
    assert agreed_on("first \\boxed{1}, then \\boxed{Two  x}", r"\\boxed\{(.*?)\}") == "two x"
    assert agreed_on("nothing", r"\d+") == "" and agreed_on("1 or 12", r"\d+") == "12"


@pytest.fixture
def evaluate(tiny_llama, tiny_bpe):
    """Answers in turn, by question."""

    def found(rows, answers, **options):
        data = EvaluationData(rows=lambda: {"mine": rows}, examples=dict)
        handle = handle_of(tiny_llama, tiny_bpe, template=replace(CHATML, thinking=Thinking()))
        said = {question: iter(texts) for question, texts in answers.items()}
        measuring = PassAtK(**options)
        measuring.configured(plan=StubPlan({"reward": REWARDS}))
        with scripted_chat(handle, lambda prompt: next(said[prompt.partition("user\n")[2][0]])) as chat:
            return measuring.evaluate(chat=chat, data=data)

    return found


def row(question, **columns):
    return {"messages": [{"role": "user", "content": f"{question}?"}], **columns}


def test_answers_of_a_script(evaluate):
    """Of four answers one is right, all, none; a right one within an unfinished thought is none."""
    answers = {
        "A": ["It is 4.", "5", "5", ""],
        "B": ["4", "4.0", "the 4", "4"],
        "C": ["<think>\n4", "3", "1", "2"],
    }
    rows = [row(question, answer="4") for question in answers]
    found = evaluate(rows, answers, rewards=["numeric"], n=4, k=[1, 2, 4], vote=r"\d+")
    metrics = found.metrics["mine"]
    right = [[1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]
    flat, of_question = [it for some in right for it in some], [place for place in range(3) for _ in range(4)]
    expected = clustered(flat, of_question)
    assert metrics["avg_at_4"].value == pytest.approx(expected.value)
    assert (
        metrics["avg_at_4"].standard_error == pytest.approx(expected.standard_error) and metrics["avg_at_4"].count == 3
    )
    assert metrics["pass_at_1"].value == pytest.approx(5 / 12)
    assert metrics["pass_at_2"].value == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert metrics["pass_at_4"].value == pytest.approx(2 / 3)
    assert [record["maj_at_4"] for record in found.records] == [0, 1, 0]
    assert metrics["unfinished"].value == 1 / 12
    told = found.records[0]["predictions"]
    assert [it["right"] for it in told] == [True, False, False, False] and told[0]["prediction"] == "It is 4."
    promised = PassAtK(rewards=["numeric"], n=4, k=[1, 2, 4], vote="x").traits.metrics
    assert {f"pass_at_k_{name}": it.greater_is_better for name, it in metrics.items()} == promised


def test_a_vote_that_no_answer_has_is_told(evaluate, caplog):
    evaluate([row("A", answer="4")], {"A": ["4", "5"]}, rewards=["numeric"], n=2, vote=r"boxed\{(.*?)\}")
    assert "maj_at_2 is 0 since none of 2 answers has vote=boxed" in caplog.text


def test_rewards_add_up_with_their_weights(evaluate):
    rows = [row("A", answer="yes")]
    said = {"A": ["Yes", "yes", "no", "a long answer"]}
    found = evaluate(rows, said, rewards=["exact_match", "short"], n=4, k=[1], threshold=1.5)
    assert [it["score"] for it in found.records[0]["predictions"]] == [1.5, 1.5, 0.5, 0]
    assert found.metrics["mine"]["avg_at_4"].value == 1 / 2


def test_the_expected_answer_is_the_column_answer(evaluate):
    asked = {"messages": [*row("A")["messages"], {"role": "assistant", "content": "yes"}]}
    found = evaluate([asked], {"A": ["yes", "no"]}, rewards=["exact_match"], n=2)
    assert found.metrics["mine"]["avg_at_2"].value == 1 / 2


def test_a_column_that_is_lacking_is_told_before_the_first_answer(evaluate):
    with pytest.raises(DataError, match=r"reward.exact_match: a row has no answer; it has solution"):
        evaluate([row("A", solution="yes")], {}, rewards=["exact_match"])


@pytest.mark.parametrize(
    ("options", "key", "message"),
    [
        ({"k": [1, 9]}, "k", "pass@9 needs as many answers to a question, and n is 8"),
        ({"temperature": 0.0}, "temperature", "are the same at temperature 0"),
        ({"vote": "("}, "vote", r"vote=( is no regular expression"),
        ({"vote": "true"}, "vote", "and no switch"),
        ({"rewards": []}, "rewards", "nothing judges the answers"),
    ],
)
def test_what_is_wrong_with_k_beforehand(options, key, message):
    (problem,) = PassAtK(**{"rewards": ["numeric"], **options}).check(plan=StubPlan({}))
    assert message in problem.message and str(problem.key) == f"evaluator.pass_at_k.{key}"
