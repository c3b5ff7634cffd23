"""Rows as prompts to be answered: what is tokenised, what the rewards get, what is left out or refused."""

from __future__ import annotations

from typing import Any

import pytest
from tunesmith import DataError
from tunesmith_library_testing.parts import CHATML, StubPlan
from tunesmith_library_training.prompts import encode_prompts, missing_reward, prompt_of, read

ASKED = [{"role": "user", "content": "Who counts the waves?"}]
SAID = {"role": "assistant", "content": "Nobody."}


def encode(tokenizer: Any, rows: list[dict[str, Any]], max_length: int = 100, said: set[str] | None = None) -> Any:
    said = set() if said is None else said
    return encode_prompts(rows, tokenizer, CHATML, max_length=max_length, stage="mine", said=said)


@pytest.mark.parametrize(
    "row, others",
    [
        ({"prompt": ASKED}, {}),
        ({"prompt": "Who counts the waves?", "level": 2}, {"level": 2}),
        ({"messages": [*ASKED, SAID], "source": "sea"}, {"source": "sea", "answer": "Nobody."}),
        ({"messages": [*ASKED, SAID], "answer": "7"}, {"answer": "7"}),
        ({"messages": ASKED}, {}),
        ({"prompt": ASKED, "completion": [SAID]}, {"completion": [SAID], "answer": "Nobody."}),
        ({"prompt": ASKED, "completion": "No.", "answer": ""}, {"completion": "No.", "answer": "No."}),
    ],
)
def test_the_prompt_and_the_rest_of_the_row(row: dict[str, Any], others: dict[str, Any]) -> None:
    assert prompt_of(row, "mine") == (ASKED, others)


def test_the_encoded_prompt_ends_where_the_answer_begins(tiny_bpe: Any) -> None:
    columns = encode(tiny_bpe, [{"messages": [*ASKED, SAID], "colour": "青"}])
    text = "<|im_start|>user\nWho counts the waves?<|im_end|>\n<|im_start|>assistant\n"
    assert tiny_bpe.decode(columns["prompt_input_ids"][0]) == text
    assert read({name: values[0] for name, values in columns.items()}) == (
        ASKED,
        {"colour": "青", "answer": "Nobody."},
    )
    assert encode(tiny_bpe, []) == {"prompt_input_ids": [], "prompt": [], "row": []}


def test_long_prompts_are_left_out_and_told_once(tiny_bpe: Any, caplog: pytest.LogCaptureFixture) -> None:
    rows: list[dict[str, Any]] = [{"prompt": "a"}, {"prompt": "Sing of the sea! " * 20}, {"prompt": "b"}]
    said: set[str] = set()
    for _ in range(2):
        columns = encode(tiny_bpe, rows, max_length=20, said=said)
        assert [read({name: values[i] for name, values in columns.items()})[0][0]["content"] for i in (0, 1)] == [
            "a",
            "b",
        ]
    assert caplog.text.count("1 of the first 3 rows have a prompt that is empty or over 20 tokens") == 1


def test_rows_of_another_shape() -> None:
    with pytest.raises(DataError, match=r"stage\.mine needs rows with `prompt`; these have text(.|\n)*stage=texts"):
        prompt_of({"text": "a"}, "mine", lambda row: "stage=texts")
    with pytest.raises(DataError, match="an empty one"):
        prompt_of({"messages": [SAID]}, "mine")


def test_images_that_a_model_does_not_take(tiny_bpe: Any) -> None:
    with pytest.raises(DataError, match="this model takes text, and no images"):
        encode(tiny_bpe, [{"prompt": "<image>What?", "images": [b"GIF89a"]}])
    [prompt] = encode(tiny_bpe, [{"prompt": "<image>What?"}])["prompt"]
    assert "<image>What?" in prompt, "a mark is text for a model that reads text"


def test_missing_reward() -> None:
    (problem,) = missing_reward(StubPlan({}), "mine")
    assert problem.key == "reward" and "installed: none" in problem.advice
    assert missing_reward(StubPlan({"reward": {"taste": None}}), "mine") == []
    assert missing_reward(StubPlan({}, command="show"), "mine") == []
