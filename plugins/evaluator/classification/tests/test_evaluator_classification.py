"""Labels against scikit-learn, standard errors against drawn sets, likelihoods against transformers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tunesmith import DataError
from tunesmith_evaluator_classification import Classification
from tunesmith_evaluator_classification.counting import confusion, measured, ratio
from tunesmith_evaluator_classification.labels import Labels
from tunesmith_library_chat.thoughts import Thinking
from tunesmith_library_evaluating import EvaluationData
from tunesmith_library_testing import EvaluatorSuite
from tunesmith_library_testing.engine import chat_of, scripted_chat
from tunesmith_library_testing.parts import CHATML, StubPlan, handle_of, load_plain

THINKING = replace(CHATML, thinking=Thinking())


def rows(*pairs, **columns):
    return [
        {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": expected}], **columns}
        for asked, expected in pairs
    ]


class TestClassification(EvaluatorSuite):
    plugin = Classification
    options = {"max_new_tokens": 24}


class TestClassificationByLikelihood(EvaluatorSuite):
    plugin = Classification
    options = {"through": "likelihood", "labels": ["good", "很好", "bad luck"]}
    rows = rows(("A", "good"), ("B", "很好"), ("C", "bad luck"), ("D", "good"))


def test_numbers_equal_scikit_learn():
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    draws = np.random.default_rng(0)
    names = ["bad", "good", "好"]
    expected = [names[at] for at in draws.choice(3, 90, p=[0.6, 0.3, 0.1])]
    given = [label if draws.random() < 0.5 else [*names, None][draws.integers(4)] for label in expected]
    pairs = list(zip(expected, given, strict=True))
    found = measured(pairs)
    told = [label or "none" for label in given]
    for average in ("micro", "macro", "weighted"):
        *_, f1, _ = precision_recall_fscore_support(expected, told, labels=names, average=average, zero_division=0)
        assert found[f"{average}_f1"].value == pytest.approx(f1, rel=1e-12)
    by_class = precision_recall_fscore_support(expected, told, labels=names, zero_division=0)
    for label, precision, recall, f1, _ in zip(names, *by_class, strict=True):
        numbers = [found[f"{name}_{label}"].value for name in ("precision", "recall", "f1")]
        assert numbers == pytest.approx([precision, recall, f1], rel=1e-12)
    matrix = confusion_matrix(expected, told, labels=[*names, "none"])
    ours = confusion(pairs)
    assert [[ours[one].get(other, 0) for other in [*names, ""]] for one in names] == matrix[:3].tolist()
    assert found["accuracy"].value == np.mean(np.array(expected) == np.array(told))
    assert found["unlabelled"].value == pytest.approx(np.mean(np.array(told) == "none"))


def test_standard_errors_are_those_of_drawn_sets():
    """Precision, recall, F1 and micro F1 in closed form, beside 3,000 sets drawn with replacement."""
    draws = np.random.default_rng(1)
    pairs = [("ab"[at % 2], ["a", "b", None][draws.integers(3)]) for at in range(300)]
    found = measured(pairs)
    many = [[pairs[at] for at in draws.integers(0, 300, 300)] for _ in range(3000)]

    def f1(some):
        both = sum(pair == ("a", "a") for pair in some)
        return 2 * both / (sum(one == "a" for one, _ in some) + sum(other == "a" for _, other in some))

    def micro(some):
        return 2 * sum(one == other for one, other in some) / (300 + sum(other is not None for _, other in some))

    assert found["f1_a"].standard_error == pytest.approx(np.std([f1(some) for some in many]), rel=0.06)
    assert found["micro_f1"].standard_error == pytest.approx(np.std([micro(some) for some in many]), rel=0.06)
    assert ratio([], []).value == 0 and ratio([1.0], [2.0]).standard_error is None


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("good", "good"),
        (" **Good**.\n", "good"),
        ("It is good, I think.", "good"),
        ("It is very good.", "very good"),
        ("very good, or good", None),
        ("goodness", None),
        ("这很好。", "很好"),
        ("Ｇｏｏｄ", "good"),
        ("", None),
        ("bad", None),
    ],
)
def test_the_label_of_a_text(text, label):
    assert Labels(["good", "very good", "很好"]).read(text) == label


def test_labels_can_be_wanted_exactly_or_in_a_place():
    assert Labels(["good"], exact=True).read("It is good.") is None
    marked = Labels(["good", "bad"], extract="<label>(.*?)</label>")
    assert marked.read("Not bad: <label>good</label>") == "good" and marked.read("good") is None


@pytest.fixture
def evaluate(tiny_llama, tiny_bpe):
    def found(sets, said, **options):
        data = EvaluationData(rows=lambda: sets, examples=dict)
        with scripted_chat(handle_of(tiny_llama, tiny_bpe, template=THINKING), said) as chat:
            return Classification(**options).evaluate(chat=chat, data=data)

    return found


def test_answers_of_a_script(evaluate, caplog):
    caplog.set_level("INFO", logger="tunesmith")
    said = {"A": "Good!", "B": "<think>\nbad", "C": "It is bad.", "D": "I don't know", "E": ""}
    asked = rows(("A?", "good"), ("B?", "Bad"), ("C?", "good"), ("D?", "bad"), ("E?", "good"), ("F?", "?"))
    found = evaluate({"mine": asked}, lambda prompt: said[prompt.partition("user\n")[2][0]])
    metrics = found.metrics["mine"]
    assert metrics["accuracy"].value == 1 / 5 and metrics["unlabelled"].value == 3 / 5
    assert metrics["unfinished"].value == 1 / 5
    assert [record["label"] for record in found.records] == ["good", None, "Bad", None, None]
    assert found.tables["confusion"] == {"mine": {"Bad": {"": 2}, "good": {"": 1, "Bad": 1, "good": 1}}}
    assert found.settings["labels"] == ["Bad", "good"]
    assert "labels: Bad, good (from the data)" in caplog.text and "1 of 6 examples left out" in caplog.text


def test_labels_of_a_column_and_traits(evaluate):
    asked = rows(("A?", "Because."), kind="good") + rows(("B?", "Why."), kind="other")
    found = evaluate({"mine": asked}, lambda prompt: "good", labels=["good", "bad"], column="kind")
    metrics = found.metrics["mine"]
    assert metrics["accuracy"].count == 1 and metrics["recall_good"].value == 1.0
    promised = Classification(labels=["good"]).traits.metrics
    assert {f"classification_{name}": it.greater_is_better for name, it in metrics.items()} == promised
    assert Classification().traits.metrics == {}
    with pytest.raises(DataError, match="2 examples expect none of the labels"):
        evaluate({"mine": asked}, lambda prompt: "good", labels=["red", "blue"], column="kind")


@pytest.mark.parametrize(
    ("labels", "behind"), [(["good", "很好", "bad luck"], ""), (["good", "good luck", "bad luck"], "<|im_end|>")]
)
def test_likelihoods_equal_transformers(tiny_llama, tiny_bpe, labels, behind):
    """In float64: of each label's tokens behind the prompt, and of the end where one begins another."""
    exact = load_plain(tiny_llama, dtype="float64")
    asked = rows(("A?", "good"), ("Whales sing?", "bad luck"))
    model = load_plain(tiny_llama)
    handle = handle_of(tiny_llama, tiny_bpe, load=lambda: model)
    data = EvaluationData(rows=lambda: {"mine": asked}, examples=dict)
    with chat_of(handle) as chat:
        found = Classification(through="likelihood", labels=labels).evaluate(chat=chat, data=data)
    for record, row in zip(found.records, asked, strict=True):
        start = CHATML.render(row["messages"][:1], add_generation_prompt=True).text
        prompt = tiny_bpe.encode(start, add_special_tokens=False)
        for label in labels:
            end = tiny_bpe.encode(label + behind, add_special_tokens=False)
            with torch.no_grad():
                logits = exact(input_ids=torch.tensor([prompt + end]), use_cache=False).logits[0].log_softmax(-1)
            places = range(len(prompt) - 1, len(prompt) + len(end) - 1)
            expected = sum(logits[at, token].item() for at, token in zip(places, end, strict=True))
            assert record["log_probs"][label] == pytest.approx(expected, rel=1e-5)
        assert record["label"] == max(labels, key=record["log_probs"].get)
    assert "unfinished" not in found.metrics["mine"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"extract": "("}, "no regular expression"),
        ({"labels": ["good", "Good."]}, "are the same label"),
        ({"labels": ["!"]}, "no letter or digit"),
    ],
)
def test_what_is_wrong_beforehand(options, message):
    (problem,) = Classification(**options).check(plan=StubPlan({}))
    assert message in problem.message
