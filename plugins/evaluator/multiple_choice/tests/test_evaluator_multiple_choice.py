"""Multiple choice: accuracies against transformers in float64, whatever asks; figures of subjects in closed form."""

import json
import math
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from tunesmith import DataError
from tunesmith_evaluator_multiple_choice import MultipleChoice
from tunesmith_evaluator_multiple_choice.wording import WORDINGS
from tunesmith_library_evaluating import EvaluationData
from tunesmith_library_testing import EvaluatorSuite
from tunesmith_library_testing.engine import chat_of
from tunesmith_library_testing.parts import CHATML, StubPlan, handle_of, load_plain

WORDS = ("whales", "sing", "tide", "turns", "nobody", "waves", "twice", "who", "small", "model", "鲸鱼", "é")


def row(number: int, **more: Any) -> dict[str, Any]:
    """A question with four choices, as a row of an evaluation set."""
    pick = [WORDS[(number * 5 + step * step) % len(WORDS)] for step in range(8)]
    choices = [" ".join(pick[start : start + 1 + start % 3]) for start in range(4)]
    asked = {"messages": [{"role": "user", "content": f"{number} {' '.join(pick[3:])}?"}]}
    return {**asked, "choices": choices, "answer": "ABCD"[number % 4], **more}


class TestMultipleChoice(EvaluatorSuite):
    plugin = MultipleChoice
    rows: ClassVar[Any] = tuple(row(number) for number in range(4))


class TestMultipleChoiceByGeneration(EvaluatorSuite):
    plugin = MultipleChoice
    options: ClassVar[Any] = {"through": "generation", "max_new_tokens": 4}
    rows: ClassVar[Any] = tuple(row(number) for number in range(3))


@pytest.fixture(scope="module")
def mmlu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three subjects in MMLU's form: CSV without a head, in folders by part."""
    import csv

    folder = tmp_path_factory.mktemp("sets") / "mmlu"
    for subject, count, start in (("anatomy", 6, 0), ("astronomy", 5, 40), ("virology", 9, 80)):
        for part, some in (("test", count), ("dev", 2)):
            file = folder / part / f"{subject}_{part}.csv"
            file.parent.mkdir(parents=True, exist_ok=True)
            made = [row(start + number + (20 if part == "dev" else 0)) for number in range(some)]
            cells = [[it["messages"][0]["content"], *it["choices"], it["answer"]] for it in made]
            with file.open("w", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerows(cells)
    return folder


def evaluated(model: Path, tokenizer: Any, sets: Any = None, **options: Any) -> Any:
    handle = handle_of(model, tokenizer)
    data = EvaluationData(rows=lambda: sets or {}, examples=dict)
    return MultipleChoice(**options).evaluate(handle=handle, chat=chat_of(handle), data=data)


def log_likelihood(model: Any, before: list[int], behind: list[int]) -> float:
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([before + behind]), use_cache=False).logits[0].log_softmax(-1)
    return math.fsum(logits[len(before) - 1 + place, token].item() for place, token in enumerate(behind))


@pytest.mark.parametrize("through", ["likelihood", "choices"])
@pytest.mark.parametrize("chat", [True, False])
def test_likelihoods_are_those_of_transformers(
    through: str, chat: bool, mmlu: Path, tiny_llama: Path, tiny_bpe: Any
) -> None:
    found = evaluated(
        tiny_llama, tiny_bpe, path=str(mmlu), few_shot=2, through=through, chat=chat, subjects=["anatomy"]
    )
    model = load_plain(tiny_llama, "float64")
    before = "The following are multiple choice questions (with answers) about anatomy.\n\n"

    def asked(of: dict[str, Any]) -> str:
        choices = "".join(f"\n{letter}. {text}" for letter, text in zip("ABCD", of["choices"], strict=True))
        return f"{of['messages'][0]['content']}{choices}\nAnswer:"

    def answers(of: dict[str, Any]) -> list[str]:
        return of["choices"] if through == "choices" else list("ABCD")

    shown = [row(20), row(21)]
    for number, record in enumerate(found.records):
        question = row(number)
        if chat:
            turns = []
            for it in shown:
                turns += [{"role": "user", "content": asked(it)}]
                turns += [{"role": "assistant", "content": answers(it)["ABCD".index(it["answer"])]}]
            turns.append({"role": "user", "content": asked(question)})
            turns[0]["content"] = before + turns[0]["content"]
            text = CHATML.render(turns, add_generation_prompt=True).text
            start, ends = tiny_bpe.encode(text, add_special_tokens=False), answers(question)
        else:
            examples = "".join(f"{asked(it)} {answers(it)['ABCD'.index(it['answer'])]}\n\n" for it in shown)
            start, ends = tiny_bpe.encode(before + examples + asked(question)), [f" {it}" for it in answers(question)]
        values = [log_likelihood(model, start, tiny_bpe.encode(end, add_special_tokens=False)) for end in ends]
        assert list(record["log_likelihoods"].values()) == pytest.approx(values, abs=1e-4)
        assert record["prediction"] == "ABCD"[values.index(max(values))]
        assert record["accuracy"] == float(record["prediction"] == question["answer"])
        if through == "choices":
            normed = [value / len(text) for value, text in zip(values, question["choices"], strict=True)]
            assert record["accuracy_norm"] == float("ABCD"[normed.index(max(normed))] == question["answer"])


def test_subjects_categories_and_all_together(mmlu: Path, tiny_llama: Path, tiny_bpe: Any) -> None:
    found = evaluated(tiny_llama, tiny_bpe, path=str(mmlu), few_shot=1)
    assert set(found.metrics) == {"average", "Other", "STEM", "anatomy", "astronomy", "virology"}
    right = {
        name: [it["accuracy"] for it in found.records if it["dataset"] == name]
        for name in ("anatomy", "astronomy", "virology")
    }
    pooled = [*right["anatomy"], *right["astronomy"], *right["virology"]]
    assert len(pooled) == 20 and 0 < sum(pooled) < 20

    def error(values: list[float]) -> float:
        share = sum(values) / len(values)
        return math.sqrt(share * (1 - share) / (len(values) - 1))

    for part, values in {"average": pooled, "Other": right["anatomy"] + right["virology"], **right}.items():
        number = found.metrics[part]["accuracy"]
        assert number.value == pytest.approx(sum(values) / len(values))
        assert number.standard_error == pytest.approx(error(values))
        assert number.count == len(values)
    macro = found.metrics["average"]["macro_accuracy"]
    assert macro.value == pytest.approx(sum(sum(values) / len(values) for values in right.values()) / 3)
    assert macro.standard_error == pytest.approx(math.sqrt(sum(error(values) ** 2 for values in right.values())) / 3)
    assert found.records[0]["parts"] == ["average", "Other"]
    assert found.settings["few_shot"] == 1 and found.settings["template"] == "chatml"


def test_an_answer_without_a_letter_is_wrong_and_counted(tiny_llama: Path, tiny_bpe: Any) -> None:
    sets = {"held": [row(number) for number in range(5)]}
    found = evaluated(tiny_llama, tiny_bpe, sets, through="generation", max_new_tokens=3)
    without = [record for record in found.records if record["chosen"] is None]
    assert without and all(record["accuracy"] == 0.0 for record in without)
    metrics = found.metrics["held"]
    assert metrics["unanswered"].value == pytest.approx(len(without) / 5)
    assert not metrics["unanswered"].greater_is_better and not metrics["truncated"].greater_is_better
    assert found.settings["max_new_tokens"] == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "tset"}, r"no part tset\.\n.*did you mean test\?"),
        ({"subjects": ["anatomie"]}, r"no subject anatomie\.\n.*did you mean anatomy\?"),
        ({"few_shot": 5}, r"3 of 3 subjects have fewer examples, such as anatomy\.\n.*few_shot=2"),
        ({"path": "nowhere"}, r"nowhere is not there"),
    ],
)
def test_what_a_set_does_not_have(options: Any, message: str, mmlu: Path, tiny_bpe: Any) -> None:
    handle = handle_of(mmlu, tiny_bpe, load=lambda: pytest.fail("the model was loaded"))
    data = EvaluationData(rows=dict, examples=dict)
    with pytest.raises(DataError, match=message):
        MultipleChoice(**{"path": str(mmlu), **options}).evaluate(handle=handle, chat=chat_of(handle), data=data)


def test_answers_that_are_kept_secret(tmp_path: Path, tiny_bpe: Any) -> None:
    question = {"question": "q", "A": "a", "B": "b"}
    for part, answer in (("test", {}), ("val", {"answer": "B"})):
        (tmp_path / f"law_{part}.json").write_text(json.dumps([{**question, **answer}]), encoding="utf-8")
    handle = handle_of(tmp_path, tiny_bpe)
    data = EvaluationData(rows=dict, examples=dict)
    with pytest.raises(DataError, match=r"part test have no answers, such as those of law\.\n.*val"):
        MultipleChoice(path=str(tmp_path)).evaluate(handle=handle, chat=chat_of(handle), data=data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": "plain"}, "lists no choices"),
        ({"through": "generation", "chat": False, "path": "mmlu"}, "asks in turns"),
        ({"few_shot": 5}, "no examples beside them"),
    ],
)
def test_options_that_do_not_go_together(options: Any, message: str) -> None:
    (problem,) = MultipleChoice(**options).check(plan=StubPlan({}, command="eval"))
    assert message in problem.message and problem.advice


def test_words_are_those_of_llama_factory() -> None:
    from tunesmith_evaluator_multiple_choice.questions import Question

    question, example = Question("水是？", ("氢", "氧"), 1), (Question("火？", ("a", "b"), 0), "A")
    turns = WORDINGS["zh"].messages(question, [example], "化学")
    assert [turn["content"] for turn in turns] == [
        "以下是中国关于化学考试的单项选择题，请选出其中的正确答案。\n\n火？\nA. a\nB. b\n答案：",
        "A",
        "水是？\nA. 氢\nB. 氧\n答案：",
    ]
    assert WORDINGS["plain"].text(question, [], "") == "Question: 水是？\nAnswer:"
