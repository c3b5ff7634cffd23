"""Judging by a real server of the protocol: orders, ties, caps, the cache, votes; what is no verdict is none."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tunesmith import DataError
from tunesmith.catalog import Catalog
from tunesmith.pipeline import plan
from tunesmith_evaluator_judge import Judge, checking
from tunesmith_library_evaluating import Evaluation, EvaluationData
from tunesmith_library_testing import EvaluatorSuite
from tunesmith_library_testing.engine import chat_of
from tunesmith_library_testing.parts import StubPlan, handle_of, load_plain
from tunesmith_library_testing.served import Served, served

SECRET = "sk-not-to-be-seen-1234567890"
ANSWERS = re.compile(r"\[Answer A\]\n(.*?)\n\[End of answer A\].*\[Answer B\]\n(.*?)\n\[End of answer B\]", re.DOTALL)


def reply(prompt: str) -> str:
    """A judge that prefers the answer with more of the letter e, and rates by them."""
    both = ANSWERS.search(prompt)
    if both is None:
        return f'Fine.\n{{"score": {min(prompt.count("e"), 10)}}}'
    first, second = (text.count("e") for text in both.groups())
    verdict = "tie" if first == second else "A" if first > second else "B"
    return f'A has {first}, B has {second}.\n{{"verdict": "{verdict}"}}'


def server_of(say: Any) -> Any:
    """What answers as a service does, with the tokens that it counts: a word each."""

    def answer(path: str, body: Any) -> Any:
        if path == "models":
            return {"data": [{"id": "judge", "owned_by": "openai"}]}
        prompt = body["messages"][-1]["content"]
        text = say(prompt)
        usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(text.split())}
        return iter(
            [{"choices": [{"delta": {"content": text}, "finish_reason": "stop"}]}, {"choices": [], "usage": usage}]
        )

    return served(answer)


@pytest.fixture
def judge() -> Iterator[Served]:
    with server_of(reply) as server:
        yield server


def config_of(server: Served, **engine: Any) -> dict[str, Any]:
    return {"engine": {"name": "openai", "base_url": server.url, "model": "judge", "server": "openai", **engine}}


def asked(server: Served) -> list[str]:
    return [body["messages"][-1]["content"] for path, body in server.asked if path == "chat/completions"]


@pytest.fixture(scope="module", autouse=True)
def one_discovery() -> Iterator[None]:
    """The plugins are looked for once, and at each judge's configuration, for which a suite asks hundreds of times."""
    looked: dict[str, Any] = {}

    def planned(config: Any, **asked: Any) -> Any:
        if repr(config) not in looked:
            looked[repr(config)] = plan(config, **asked)
        return looked[repr(config)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Catalog, "discover", functools.cache(Catalog.discover))
        patch.setattr(checking, "planned", planned)
        yield


@pytest.fixture(scope="module", autouse=True)
def suites_judge() -> Iterator[None]:
    with server_of(reply) as server:
        for suite in (TestJudge, TestJudgeByARubric):
            suite.options = {**suite.options, "judge": config_of(server), "cache": False}
        yield


class TestJudge(EvaluatorSuite):
    plugin = Judge
    options = {"judge": {"model": {"path": "."}}, "max_new_tokens": 4}


class TestJudgeByARubric(EvaluatorSuite):
    plugin = Judge
    options = {"judge": {"model": {"path": "."}}, "mode": "rubric", "max_new_tokens": 4}


def row(question: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **more}


def pair(question: str, chosen: str, rejected: str, **more: Any) -> dict[str, Any]:
    answers = {"chosen": chosen, "rejected": rejected}
    turns = {name: [{"role": "assistant", "content": text}] for name, text in answers.items()}
    return {"prompt": [{"role": "user", "content": question}], **turns, **more}


PAIRS = (
    pair("Who?", "eee", "e"),  # the judge agrees
    pair("What?", "none", "geese"),  # it does not
    pair("Why?", "be", "me"),  # a tie
    pair("How?", "ee", "e"),
)


def evaluate(tmp_path: Path, sets: dict[str, Any], **options: Any) -> Evaluation:
    options = {"cache_dir": str(tmp_path / "kept"), **options}
    data = EvaluationData(rows=lambda: sets, examples=dict)
    nobody: Any = None
    return Judge(**options).evaluate(handle=nobody, chat=nobody, data=data)


def said(tmp_path: Path, sets: dict[str, Any], predictions: dict[str, str], name: str = "said.jsonl") -> str:
    """A file of answers, by question."""
    lines = [
        {"dataset": data, "prompt": each["messages"][:-1], "prediction": predictions[each["messages"][0]["content"]]}
        for data, rows in sets.items()
        for each in rows
        if each["messages"][0]["content"] in predictions
    ]
    (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(tmp_path / name)


def values(found: Evaluation, name: str = "a") -> dict[str, float]:
    return {metric: number.value for metric, number in found.metrics[name].items()}


# ---- pairs ----------------------------------------------------------------------------------------------------------


def test_both_orders_are_asked(tmp_path: Path, judge: Served) -> None:
    """A win takes both; the numbers are those that the judge's rule gives."""
    found = evaluate(tmp_path, {"a": PAIRS}, judge=config_of(judge), mode="votes")
    assert [record["win_rate"] for record in found.records] == [1.0, 0.0, 0.5, 1.0]
    shown = [match.groups() for prompt in asked(judge) if (match := ANSWERS.search(prompt))]
    assert sorted(shown) == sorted(order for each in PAIRS for order in (texts_of(each), texts_of(each)[::-1]))
    numbers = values(found)
    assert numbers["win_rate"] == 0.625 and numbers["consistency"] == 1
    assert (numbers["wins"], numbers["ties"], numbers["losses"]) == (0.5, 0.25, 0.25)
    assert found.metrics["a"]["win_rate"].standard_error == pytest.approx((11 / 48 / 4) ** 0.5)  # s² = 11/48
    assert numbers["length"] == pytest.approx((3 + 4 + 2 + 2) / 4)
    assert numbers["longer_preferred"] == 1.0


def texts_of(each: dict[str, Any]) -> tuple[str, str]:
    return each["chosen"][0]["content"], each["rejected"][0]["content"]


def test_a_judge_that_prefers_a_place_makes_ties(tmp_path: Path) -> None:
    with server_of(lambda prompt: "Verdict: A") as server:
        found = evaluate(tmp_path, {"a": PAIRS}, judge=config_of(server), mode="votes")
    numbers = values(found)
    assert numbers["consistency"] == 0 and numbers["ties"] == 1 and numbers["win_rate"] == 0.5
    assert "longer_preferred" not in numbers
    assert [record["verdicts"] for record in found.records] == [["first", "second"]] * 4


def test_what_is_no_verdict_is_counted(tmp_path: Path) -> None:
    """And is neither a win nor a tie."""
    with server_of(lambda prompt: "I like A, or B." if "Why?" in prompt else reply(prompt)) as server:
        found = evaluate(tmp_path, {"a": PAIRS}, judge=config_of(server), mode="votes")
    assert values(found)["unparsable"] == 0.25
    assert found.metrics["a"]["win_rate"].count == 3 and "win_rate" not in found.records[2]


def test_the_answers_of_two_files_are_compared(tmp_path: Path, judge: Served, caplog: Any) -> None:
    """By data set and prompt, whatever their order; what one of them lacks is left out and said, equal ones tie."""
    caplog.set_level("INFO")
    sets = {"a": [row("One?", "x"), row("Two?", "x"), row("Three?", "x"), row("Four?", "x")]}
    ours = said(tmp_path, sets, {"Two?": "eeee", "One?": "e", "Three?": "same"})
    theirs = said(tmp_path, sets, {"One?": "ee", "Two?": "e", "Three?": "same", "Four?": "e"}, "theirs.jsonl")
    found = evaluate(tmp_path, sets, judge=config_of(judge), answers=ours, against=theirs)
    assert {record["index"]: record["verdict"] for record in found.records} == {0: "second", 1: "first", 2: "tie"}
    assert "1 of 4 prompts left out" in caplog.text
    assert len(asked(judge)) == 4  # nobody is asked of equal ones
    assert all("[Reference answer]\nx\n" in prompt for prompt in asked(judge))


def test_the_models_own_answers_against_the_expected(
    tmp_path: Path, judge: Served, tiny_llama: Path, tiny_bpe: Any
) -> None:
    """The model is asked, and judged beside what the data say; the settings say how it was asked."""
    model = load_plain(tiny_llama)
    handle = handle_of(tiny_llama, tiny_bpe, load=lambda: model)
    sets = {"a": [row("One?", "eeeeeeeeeeeeeeeeeeeeeeeee" * 40)]}
    plugin = Judge(judge=config_of(judge), cache_dir=str(tmp_path), max_new_tokens=4)
    found = plugin.evaluate(handle=handle, chat=chat_of(handle), data=EvaluationData(rows=lambda: sets, examples=dict))
    assert values(found)["losses"] == 1 and found.records[0]["other"].startswith("eee")
    assert found.settings["template"] == "chatml" and found.settings["max_new_tokens"] == 4
    assert found.settings["judge"]["engine"]["model"] == "judge"


def test_an_answer_that_never_came_loses(tmp_path: Path, judge: Served) -> None:
    sets = {"a": [row("One?", "x")]}
    file = said(tmp_path, sets, {"One?": ""})
    line = {**json.loads(Path(file).read_text(encoding="utf-8")), "unfinished": 1.0}
    Path(file).write_text(json.dumps(line), encoding="utf-8")
    assert values(evaluate(tmp_path, sets, judge=config_of(judge), answers=file))["losses"] == 1
    rubric = evaluate(tmp_path, sets, judge=config_of(judge), answers=file, mode="rubric")
    assert values(rubric)["score"] == 1 and not asked(judge)


def test_answers_that_never_came_count_alike_on_both_sides(tmp_path: Path, judge: Served) -> None:
    """Two of them tie, and one loses, whichever model it is of: the two win rates add up to 1, and nobody is asked."""
    sets = {"a": [row("One?", "x"), row("Two?", "x"), row("Three?", "x")]}
    files = (
        said(tmp_path, sets, {"One?": " ", "Two?": "", "Three?": "e"}),
        said(tmp_path, sets, {"One?": "", "Two?": "e", "Three?": "\n"}, "theirs.jsonl"),
    )
    verdicts = [
        [record["verdict"] for record in evaluate(tmp_path, sets, judge=config_of(judge), answers=a, against=b).records]
        for a, b in (files, files[::-1])
    ]
    assert verdicts == [["tie", "second", "first"], ["tie", "first", "second"]]
    assert not asked(judge)


def test_an_expected_answer_that_says_nothing_is_none_to_compare_with(
    tmp_path: Path, judge: Served, caplog: Any
) -> None:
    caplog.set_level("INFO")
    sets = {"a": [row("One?", ""), row("Two?", "e")]}
    ours = said(tmp_path, sets, {"One?": "e", "Two?": "ee"})
    found = evaluate(tmp_path, sets, judge=config_of(judge), answers=ours)
    assert [record["index"] for record in found.records] == [1] and "1 rows left out" in caplog.text


# ---- rubrics --------------------------------------------------------------------------------------------------------


def test_scores_by_criteria(tmp_path: Path) -> None:
    """Each has a score of its own, and `score` is their mean; one out of range is none."""
    told = {"One?": '{"correctness": 4, "style": 2}', "Two?": '{"correctness": 5, "style": 9}'}
    sets = {"a": [row("One?", "x"), row("Two?", "x")]}
    ours = said(tmp_path, sets, {"One?": "e", "Two?": "ee"})
    with server_of(lambda prompt: next(text for question, text in told.items() if question in prompt)) as server:
        options: dict[str, Any] = {
            "criteria": ["Correctness", "style"],
            "least": 1,
            "most": 5,
            "mode": "rubric",
            "answers": ours,
        }
        found = evaluate(tmp_path, sets, judge=config_of(server), **options)
        assert "from 1 (worst) to 5 (best)" in asked(server)[0]
        assert '{"correctness": …, "style": …}' in asked(server)[0]
    numbers = values(found)
    assert (numbers["score"], numbers["score_correctness"], numbers["score_style"]) == (3, 4, 2)
    assert numbers["unparsable"] == 0.5 and found.metrics["a"]["score"].count == 1
    assert {f"judge_{name}" for name in numbers} <= set(Judge(judge={}, **options).traits.metrics)


def test_prompts_are_in_the_language_of_the_question(tmp_path: Path, judge: Served) -> None:
    sets = {"a": [row("谁在数海浪？", "没有人。"), row("Who counts the waves?", "Nobody.")]}
    ours = said(tmp_path, sets, {"谁在数海浪？": "鲸鱼", "Who counts the waves?": "Whales"})
    evaluate(tmp_path, sets, judge=config_of(judge), answers=ours, mode="rubric")
    chinese, english = sorted(asked(judge), key=lambda prompt: "[Question]" in prompt)
    assert "[参考答案]\n没有人。" in chinese and "[回答]\n鲸鱼" in chinese and "Rate an answer" in english
    evaluate(tmp_path, sets, judge=config_of(judge), answers=ours, mode="rubric", language="zh")
    assert "请对一个问题的回答评分" in asked(judge)[-1] and len(asked(judge)) == 3


def test_a_prompt_of_ones_own(tmp_path: Path, judge: Served) -> None:
    """Places in it are filled, what looks like one in an answer is not."""
    (tmp_path / "mine.txt").write_text("Rate {answer} to {question} {form}", encoding="utf-8")
    sets = {"a": [row("One?", "x")]}
    ours = said(tmp_path, sets, {"One?": "{question}"})
    options = {"answers": ours, "mode": "rubric", "prompt_file": str(tmp_path / "mine.txt")}
    evaluate(tmp_path, sets, judge=config_of(judge), **options)
    assert asked(judge) == ['Rate {question} to One? {"score": …}']


# ---- cost -----------------------------------------------------------------------------------------------------------


def test_what_was_said_is_not_asked_again(tmp_path: Path, judge: Served, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is even connected to; another judge, and one with other options, is another."""
    first = evaluate(tmp_path, {"a": PAIRS}, judge=config_of(judge), mode="votes")
    count = len(judge.asked)
    caplog.set_level("INFO")
    again = evaluate(tmp_path, {"a": PAIRS}, judge=config_of(judge), mode="votes")
    assert len(judge.asked) == count and again.metrics == first.metrics and again.records == first.records
    assert "0 requests, 8 replies known" in caplog.text
    evaluate(tmp_path, {"a": PAIRS}, judge=config_of(judge), mode="votes", judge_temperature=0.5)
    assert len(asked(judge)) == 16


def test_an_unfinished_line_of_the_cache_is_asked_again(tmp_path: Path, judge: Served) -> None:
    first = evaluate(tmp_path, {"a": PAIRS}, judge=config_of(judge), mode="votes")
    (kept,) = (tmp_path / "kept").glob("*.jsonl")
    kept.write_bytes(kept.read_bytes()[:-9])
    again = evaluate(tmp_path, {"a": PAIRS}, judge=config_of(judge), mode="votes")
    assert again.metrics == first.metrics and len(asked(judge)) == 9


def test_requests_have_a_cap(tmp_path: Path, judge: Served, caplog: pytest.LogCaptureFixture) -> None:
    """What it leaves out is counted; the next evaluation goes on where this one stopped."""
    caplog.set_level("INFO")
    options = {"judge": config_of(judge), "mode": "votes", "max_requests": 5}
    found = evaluate(tmp_path, {"a": PAIRS}, **options)
    assert len(asked(judge)) == 4  # an answer is judged in both orders or not at all
    assert values(found)["left_out"] == 0.5 and found.metrics["a"]["win_rate"].count == 2
    assert "may have gone over max_requests=5" in caplog.text
    again = evaluate(tmp_path, {"a": PAIRS}, **options)
    assert values(again)["left_out"] == 0 and len(asked(judge)) == 8


@pytest.mark.parametrize("cap", ["max_tokens", "max_cost"])
def test_tokens_and_cost_have_caps(tmp_path: Path, judge: Served, cap: str) -> None:
    """Never more than they say by the server's own count, whatever the estimates."""
    limit = {"max_tokens": 1200, "max_cost": 0.0028}[cap]
    caps = {"input_price": 2.0, "output_price": 10.0, cap: limit}
    found = evaluate(tmp_path, {"a": PAIRS}, judge=config_of(judge), mode="votes", judge_max_new_tokens=20, **caps)
    prompts = asked(judge)
    spent = sum(len(prompt.split()) for prompt in prompts), sum(len(reply(prompt).split()) for prompt in prompts)
    assert 0 < len(prompts) < 8
    assert (sum(spent) if cap == "max_tokens" else (spent[0] * 2 + spent[1] * 10) / 1e6) <= limit
    assert values(found)["left_out"] > 0


def test_keys_are_in_no_result(
    tmp_path: Path, judge: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The judge is sent its key; records, settings, logs and what is kept do not have it."""
    monkeypatch.setenv("JUDGE_API_KEY", SECRET)
    caplog.set_level("DEBUG")
    found = evaluate(tmp_path, {"a": PAIRS}, judge=config_of(judge, api_key_env="JUDGE_API_KEY"), mode="votes")
    assert any(header.get("Authorization") == f"Bearer {SECRET}" for header in judge.headers)
    kept = "".join(file.read_text(encoding="utf-8") for file in (tmp_path / "kept").iterdir())
    assert SECRET not in json.dumps([found.records, found.settings]) + caplog.text + kept


# ---- votes ----------------------------------------------------------------------------------------------------------


def test_agreement_with_people(tmp_path: Path, judge: Served) -> None:
    """Accuracy and Cohen's kappa as scikit-learn has them; a column overrules what is chosen."""
    from sklearn.metrics import cohen_kappa_score

    rows = [*PAIRS, pair("Where?", "ee", "e", vote="tie"), pair("Whose?", "e", "ee", vote="rejected")]
    found = evaluate(tmp_path, {"a": rows}, judge=config_of(judge), mode="votes")
    humans = ["first"] * 4 + ["tie", "second"]
    judged = ["first", "second", "tie", "first", "first", "second"]
    assert [record["verdict"] for record in found.records] == judged
    numbers = values(found)
    assert numbers["vote_accuracy"] == pytest.approx(3 / 6)
    assert numbers["vote_kappa"] == pytest.approx(cohen_kappa_score(judged, humans))
    assert found.metrics["a"]["vote_kappa"].standard_error is not None


def test_agreement_of_scores(tmp_path: Path, judge: Served) -> None:
    from sklearn.metrics import cohen_kappa_score
    from tunesmith_evaluator_judge.agreement import quadratic_kappa

    ours, theirs = [1, 2, 3, 5, 4, 2], [1, 3, 3, 4, 4, 1]
    expected = cohen_kappa_score(ours, theirs, weights="quadratic")
    assert quadratic_kappa(list(zip(ours, theirs, strict=True))) == pytest.approx(expected)
    sets = {"a": [row("One?", "x", vote=3), row("Two?", "x", vote=10)]}
    answers = said(tmp_path, sets, {"One?": "", "Two?": "e" * 20})
    found = evaluate(tmp_path, sets, judge=config_of(judge), answers=answers, mode="rubric")
    assert "vote_kappa" in values(found) and found.records[1]["vote_accuracy"] == 1


def test_votes_stand_beside_the_answers(tmp_path: Path, judge: Served) -> None:
    """What a human said of these answers is in their file."""
    sets = {"a": [row("One?", "x"), row("Two?", "e")]}
    file = Path(said(tmp_path, sets, {"One?": "e", "Two?": "x"}))
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    voted = [{**line, "human": vote} for line, vote in zip(lines, ("win", "tie"), strict=True)]
    file.write_text("".join(json.dumps(line) + "\n" for line in voted), encoding="utf-8")
    found = evaluate(tmp_path, sets, judge=config_of(judge), answers=str(file), vote="human")
    assert [record["vote_accuracy"] for record in found.records] == [1, 0]


def test_what_is_no_vote_is_refused(tmp_path: Path, judge: Served) -> None:
    with pytest.raises(DataError, match="vote='maybe' of data set a is no vote"):
        evaluate(tmp_path, {"a": [pair("a", "b", "c", vote="maybe")]}, judge=config_of(judge), mode="votes")
    with pytest.raises(DataError, match="a row has no `rejected`, but messages"):
        evaluate(tmp_path, {"a": [row("a", "b")]}, judge=config_of(judge), mode="votes")


# ---- verdicts and options -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('Because.\n{"verdict": "A"}', "first"),
        ('```json\n{"verdict": "b"}\n```', "second"),
        ('{"verdict": "tie", "why": "same"}', "tie"),
        ("Good.\n\n[[B]]", "second"),
        ("**Verdict: A**", "first"),
        ("裁决：平局", "tie"),
        ("A is better than B", None),
        ("A\nbut I am not sure", None),
        ('{"verdict": "both"}', None),
        ('{"verdict": "A"} or maybe {"verdict": 1}', None),
        ("", None),
    ],
)
def test_verdicts_are_read_strictly(text: str, verdict: str | None) -> None:
    from tunesmith_evaluator_judge.verdicts import verdict_of

    assert verdict_of(text) == verdict


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('So:\n{"score": 7}', 7),
        ("Score: 7/10", 7),
        ("评分：8分", 8),
        ("[[6.5]]", 6.5),
        ('{"score": 11}', None),
        ('{"score": "7"}', None),
        ('{"score": true}', None),
        ("I would give 7 or 8", None),
        ("Score: 0", None),
    ],
)
def test_scores_are_read_strictly(text: str, score: float | None) -> None:
    from tunesmith_evaluator_judge.verdicts import scores_of

    found = scores_of(text, ["score"], 1, 10)
    assert found == (None if score is None else {"score": score})


def test_judge_options_that_are_wrong(tmp_path: Path) -> None:
    """The judge's own configuration too, under its keys."""

    def problems(**options: Any) -> dict[str, str]:
        plugin = Judge(**{"judge": {"engine": {"name": "openai", "base_url": "http://127.0.0.1:9/v1"}}, **options})
        found = plugin.check(plan=StubPlan({"evaluator": {"judge": plugin}}))
        return {str(problem.key).removeprefix("evaluator.judge."): problem.message for problem in found}

    assert problems() == {}
    assert set(problems(judge={})) == {"judge"}
    assert "judge.engine.base_url" in problems(judge={"engine": {"name": "openai", "base_url": "nowhere"}})
    assert "opnai" in str(problems(judge={"engine": {"name": "opnai"}}))
    assert set(problems(max_cost=1.0)) == {"max_cost"}
    assert set(problems(least=5, most=5)) == {"least"}
    assert set(problems(against=f"{tmp_path}/none.jsonl")) == {"against"}
    (tmp_path / "mine.txt").write_text("{question} {answer_a}", encoding="utf-8")
    assert "{answer_b}" in problems(prompt_file=str(tmp_path / "mine.txt"))["prompt_file"]
    assert set(problems(mode="votes", answers=str(tmp_path))) == {"answers"}


def test_files_that_hold_no_answers(tmp_path: Path, judge: Served) -> None:
    sets = {"a": [row("One?", "x")]}
    (tmp_path / "none.jsonl").write_text('{"text": "a"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"line 1 of .* has no `prompt` and `prediction`"):
        evaluate(tmp_path, sets, judge=config_of(judge), answers=str(tmp_path / "none.jsonl"))
    other = said(tmp_path, {"a": [row("Other?", "x")]}, {"Other?": "y"})
    with pytest.raises(DataError, match="answers none of the 1 prompts"):
        evaluate(tmp_path, sets, judge=config_of(judge), answers=other)


def test_a_run_is_compared_with_by_its_folder(tmp_path: Path, judge: Served) -> None:
    """The answers of `predict`, else those that an evaluator has written."""
    sets = {"a": [row("One?", "x")]}
    ours = said(tmp_path, sets, {"One?": "eee"})
    folder = tmp_path / "run" / "eval" / "text_metrics"
    folder.mkdir(parents=True)
    said(folder, sets, {"One?": "e"}, "samples.jsonl")
    (folder / "results.json").write_text("{}", encoding="utf-8")
    found = evaluate(tmp_path, sets, judge=config_of(judge), answers=ours, against=str(tmp_path / "run"))
    assert found.records[0]["other"] == "e"
    said(tmp_path / "run", sets, {"One?": "eeeeee"}, "predictions.jsonl")
    found = evaluate(tmp_path, sets, judge=config_of(judge), answers=ours, against=str(tmp_path / "run"))
    assert found.records[0]["verdict"] == "second"
