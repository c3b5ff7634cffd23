"""Tasks of lm-evaluation-harness through an engine: its own `hf` backend says the same of each sample."""

import importlib.util
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tunesmith import TunesmithError
from tunesmith_evaluator_lm_eval import LmEval
from tunesmith_library_evaluating import EvaluationData
from tunesmith_library_testing import EvaluatorSuite
from tunesmith_library_testing.engine import GreedyEngine, chat_of
from tunesmith_library_testing.parts import CHATML, StubPlan, handle_of

needs_harness = pytest.mark.skipif(find_spec("lm_eval") is None, reason="lm-eval is not installed: make programs")
pytestmark = [pytest.mark.slow, needs_harness]

TASKS = str(Path(__file__).parent / "tasks")
NAMES = ("tide_chosen", "tide_written", "tide_rolling")


class TestLmEval(EvaluatorSuite):
    plugin = LmEval
    options: ClassVar[Any] = {"tasks": ["tide_chosen"], "include_path": TASKS, "limit": 4}
    reads_data = False


def measured(model: Path, tokenizer: Any, **options: Any) -> Any:
    """What the evaluator finds out, with an engine that tells the likeliest token beside each."""
    handle = handle_of(model, tokenizer)
    chat = chat_of(handle)
    evaluator = LmEval(**{"tasks": list(NAMES), "include_path": TASKS, **options})
    return evaluator.evaluate(handle=handle, chat=chat, data=EvaluationData(rows=dict, examples=dict))


def test_numbers_and_records(tiny_llama: Path, tiny_bpe: Any) -> None:
    found = measured(tiny_llama, tiny_bpe, limit=5)
    assert set(found.metrics) == set(NAMES)
    chosen = [record for record in found.records if record["dataset"] == "tide_chosen"]
    assert [record["index"] for record in chosen] == list(range(5))
    accuracy = found.metrics["tide_chosen"]["acc"]
    assert accuracy.value == pytest.approx(sum(record["acc"] for record in chosen) / 5)
    assert accuracy.standard_error == pytest.approx(math.sqrt(accuracy.value * (1 - accuracy.value) / 4))
    assert accuracy.count == 5 and accuracy.greater_is_better
    assert not found.metrics["tide_rolling"]["word_perplexity"].greater_is_better
    assert len(chosen[0]["responses"]) == 4 and chosen[0]["prompt"][0]["content"].startswith("0 ")
    assert found.settings["tasks"]["tide_chosen"]["num_fewshot"] == 0


def test_examples_are_turns_of_the_template(tiny_llama: Path, tiny_bpe: Any) -> None:
    options = {"tasks": ["tide_written"], "limit": 2, "apply_chat_template": True, "num_fewshot": 2}
    found = measured(tiny_llama, tiny_bpe, system_instruction="Be brief.", **options)
    prompt = found.records[0]["prompt"][0]["content"]
    assert prompt.count("<|im_start|>user") == 3 and "<|im_start|>system\nBe brief." in prompt
    assert prompt.endswith("<|im_start|>assistant\n")
    assert found.settings["template"] == CHATML.name and found.settings["fewshot_as_multiturn"]


def test_thoughts_are_no_answers(tiny_llama: Path, tiny_bpe: Any, monkeypatch: Any) -> None:
    """A thought that ends is left out before stop strings count; one that never ends is wrong, and counted."""
    from dataclasses import replace

    from tunesmith.types import Delta
    from tunesmith_library_chat.thoughts import Thinking
    from tunesmith_library_engine import StreamedAnswer

    said = ["<think>the tide\nturns</think>\n\nwaves\nmore", "<think>nobody knows and", "whales"]

    def submit(engine: Any, request: Any) -> StreamedAnswer:
        answer = StreamedAnswer()
        text = said[engine.answered]
        engine.answered += 1
        answer.put(Delta(tuple(tiny_bpe.encode(text, add_special_tokens=False)), finish_reason="length"))
        return answer

    monkeypatch.setattr(GreedyEngine, "submit", submit)
    handle = handle_of(tiny_llama, tiny_bpe, template=replace(CHATML, thinking=Thinking()))
    options: Any = {"tasks": ["tide_written"], "include_path": TASKS, "limit": 3, "apply_chat_template": True}
    data = EvaluationData(rows=dict, examples=dict)
    found = LmEval(**options).evaluate(handle=handle, chat=chat_of(handle), data=data)
    assert [record["prediction"] for record in found.records] == ["waves", "", "whales"]
    assert [record["unfinished"] for record in found.records] == [0.0, 1.0, 0.0]
    unfinished = found.metrics["tide_written"]["unfinished"]
    assert unfinished.value == pytest.approx(1 / 3) and not unfinished.greater_is_better


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ["tide_unsafe"]}, r"tide_unsafe runs code that the model writes.*\n.*unsafe_code=true"),
        ({"include_path": "nowhere"}, "nowhere is no folder"),
    ],
)
def test_tasks_that_are_refused(options: Any, message: str, tiny_llama: Path, tiny_bpe: Any) -> None:
    with pytest.raises(TunesmithError, match=message):
        measured(tiny_llama, tiny_bpe, **options)


def test_no_task() -> None:
    (problem,) = LmEval(tasks=[]).check(plan=StubPlan({}, command="eval"))
    assert "no task is named" in problem.message


def test_without_the_harness(monkeypatch: Any) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (problem,) = LmEval(tasks=["tide_chosen"]).check(plan=StubPlan({}, command="eval"))
    assert "is not installed" in problem.message and "[program]" in problem.advice


def test_a_task_that_nobody_has(tiny_llama: Path, tiny_bpe: Any, monkeypatch: Any) -> None:
    import functools

    import lm_eval.tasks

    listed = functools.partial(lm_eval.tasks.TaskManager, include_defaults=False)  # reading 14,000 files takes long
    monkeypatch.setattr(lm_eval.tasks, "TaskManager", listed)
    with pytest.raises(TunesmithError, match=r"no task tide_chosn\.\n.*did you mean tide_chosen\?"):
        measured(tiny_llama, tiny_bpe, tasks=["tide_chosn"])


@pytest.mark.parametrize("templated", [False, True])
def test_equals_the_harness_own_backend(templated: bool, tmp_path: Path, tiny_bpe: Any, monkeypatch: Any) -> None:
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager
    from tunesmith_engine_transformers import Transformers
    from tunesmith_library_engine.chatting import Chat
    from tunesmith_library_testing.tiny import save_tiny_model, tiny_tokenizer

    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    tokenizer = tiny_tokenizer()
    template = (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    tokenizer.chat_template = template
    folder = save_tiny_model(tmp_path / "model", tokenizer=tokenizer)
    told: Any = {"num_fewshot": 2, "apply_chat_template": templated, "fewshot_as_multiturn": templated}
    theirs = simple_evaluate(
        model="hf",
        model_args={"pretrained": str(folder), "dtype": "float32", "device": "cpu", "batch_size": 4},
        tasks=list(NAMES),
        task_manager=TaskManager(include_path=TASKS, include_defaults=False),
        bootstrap_iters=0,
        fewshot_random_seed=1234,
        **told,
    )
    handle = handle_of(folder, tokenizer)
    with Chat(handle, Transformers().open_engine) as chat:
        evaluator = LmEval(tasks=list(NAMES), include_path=TASKS, **told)
        ours = evaluator.evaluate(handle=handle, chat=chat, data=EvaluationData(rows=dict, examples=dict))
    assert len(ours.records) == 36
    for record in ours.records:
        (sample,) = (it for it in theirs["samples"][record["dataset"]] if it["doc_id"] == record["index"])
        assert record["prompt"][0]["content"] == sample["arguments"][0][0]
        expected = [response[0] for response in sample["resps"]]
        if record["dataset"] == "tide_chosen":
            assert [value for value, _ in record["responses"]] == pytest.approx([it[0] for it in expected], abs=1e-5)
            assert [greedy for _, greedy in record["responses"]] == [it[1] for it in expected]
            assert (record["acc"], record["acc_norm"]) == (sample["acc"], sample["acc_norm"])
        elif record["dataset"] == "tide_rolling":
            assert record["responses"] == pytest.approx(expected, rel=1e-6)  # the harness adds up in fp32
        else:
            assert [text.rstrip("\ufffd") for text in record["responses"]] == [it.rstrip("\ufffd") for it in expected]
    for name in NAMES:
        for metric, number in ours.metrics[name].items():
            assert number.value == pytest.approx(theirs["results"][name][f"{metric},none"], rel=1e-6)
    assert len({record["prediction"] for record in ours.records if record["dataset"] == "tide_written"}) > 6
