"""Answers drawn from a model: padding that is not seen, and where they end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from tunesmith_library_testing.parts import CHATML, load_plain
from tunesmith_library_training.drawing import answer_ends, draw, left_padded

PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12, 13]]


def test_left_padding() -> None:
    ids, mask = left_padded([[7, 8, 9], [5]], "cpu")
    assert ids.tolist() == [[7, 8, 9], [5, 5, 5]] and ids.dtype == torch.int64
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]] and mask.dtype == torch.int64


def test_a_batch_is_answered_as_each_prompt_alone(tiny_llama: Path) -> None:
    """The likeliest answers, found here by the model's own logits, one token after the other."""
    model = load_plain(tiny_llama)
    drawn = draw(model, PROMPTS, [], max_new_tokens=8, do_sample=False)
    for prompt, answer in zip(PROMPTS, drawn, strict=True):
        expected: list[int] = []
        for _ in range(8):
            with torch.no_grad():
                logits = model(torch.tensor([prompt + expected])).logits[0, -1]
            expected.append(int(logits.argmax()))
        assert answer == expected


def test_answers_stop_with_the_token_that_ends_them(tiny_llama: Path) -> None:
    model = load_plain(tiny_llama)
    (whole,) = draw(model, PROMPTS[:1], [], max_new_tokens=8, do_sample=False)
    end = whole[3]
    (cut,) = draw(model, PROMPTS[:1], [end], max_new_tokens=8, do_sample=False)
    assert cut == whole[: whole.index(end) + 1]
    torch.manual_seed(0)
    for answer in draw(model, PROMPTS * 8, list(range(100)), max_new_tokens=20):
        assert 1 <= len(answer) <= 20 and all(token >= 100 for token in answer[:-1])


def test_ends_of_a_job(tiny_llama: Path, tiny_bpe: Any) -> None:
    model = load_plain(tiny_llama)
    model.generation_config.eos_token_id = [7]
    job: Any = SimpleNamespace(template=CHATML, processor=tiny_bpe, model=model)
    assert answer_ends(job) == sorted([7, tiny_bpe.eos_token_id, tiny_bpe.convert_tokens_to_ids("<|im_end|>")])
