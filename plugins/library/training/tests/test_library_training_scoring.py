"""Answers as the rewards see them, and the means over held-out prompts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith.types import DatasetSplits, TrainingJob
from tunesmith_library_testing.parts import CHATML, load_plain
from tunesmith_library_training import processes, scoring
from tunesmith_library_training.prompts import encode_prompts

ROWS: list[dict[str, Any]] = [{"prompt": "Sing!", "answer": "la"}, {"prompt": "Count!", "answer": "1"}]


def job_of(folder: Path, tokenizer: Any, score: Any) -> TrainingJob:
    return TrainingJob(
        model=load_plain(folder),
        processor=tokenizer,
        data=DatasetSplits(train=examples(tokenizer)),
        output_dir=folder,
        seed=1,
        precision="fp32",
        resume=False,
        collate=None,  # type: ignore[arg-type]
        compute_loss=None,  # type: ignore[arg-type]
        build_optimizer=None,  # type: ignore[arg-type]
        emit=lambda event: None,
        template=CHATML,
        score=score,
    )


def examples(tokenizer: Any, times: int = 1) -> list[dict[str, Any]]:
    columns = encode_prompts(ROWS * times, tokenizer, CHATML, max_length=50, stage="mine", said=set())
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def test_rewards_are_added_up(tiny_llama: Path, tiny_bpe: Any) -> None:
    """A reward sees the text without its end, the prompt as messages, and the row."""
    seen: list[Any] = []

    def score(prompts: Any, completions: Any, rows: Any) -> list[list[float]]:
        seen.extend(zip(prompts, completions, rows, strict=True))
        return [[1.0, 2.0], [0.5, -1.0]]

    job = job_of(tiny_llama, tiny_bpe, score)
    ids = tiny_bpe.encode("la la", add_special_tokens=False)
    end = tiny_bpe.convert_tokens_to_ids("<|im_end|>")
    assert scoring.judge(job, examples(tiny_bpe), [[*ids, end], ids]) == ([1.5, 1.0], [True, False])
    assert seen[0] == ([{"role": "user", "content": "Sing!"}], "la la", {"answer": "la"})
    assert seen[1][1:] == ("la la", {"answer": "1"})


def test_what_is_no_score(tiny_llama: Path, tiny_bpe: Any) -> None:
    for score, message in (
        (None, "no reward"),
        (lambda **_: [], "no reward"),
        (lambda **_: [[float("inf")]], "finite"),
    ):
        with pytest.raises(TunesmithError, match=message):
            scoring.scores_of(job_of(tiny_llama, tiny_bpe, score), [[]], ["a"], [{}])


def test_held_out_prompts(tiny_llama: Path, tiny_bpe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The means over each set, of all processes' shares; the same seeds every time, and no random numbers used up."""
    held_out = {"five": examples(tiny_bpe, 3)[:5], "none": []}
    job = job_of(tiny_llama, tiny_bpe, lambda completions, **_: [[float(len(text)) for text in completions]])
    job = replace(job, data=DatasetSplits(job.data.train, held_out))
    asked, drawn = list[int](), list[int]()

    def answers(prompts: Any, seeds: Any) -> list[list[int]]:
        asked.append(len(prompts))
        drawn.extend(seeds)
        torch.rand(1)
        return [tiny_bpe.encode("ab", add_special_tokens=False) for _ in prompts]

    torch.manual_seed(5)
    following = torch.rand(1).item()
    torch.manual_seed(5)
    found = [scoring.evaluate(job, answers, 2, torch.device("cpu")) for _ in range(2)]
    assert torch.rand(1).item() == following and asked == [2, 2, 1] * 2
    assert drawn[:5] == drawn[5:] and len(set(drawn)) == 5
    length = len(tiny_bpe.encode("ab", add_special_tokens=False))
    means = {"reward": 2.0, "answer_tokens": length, "ended": 0.0}
    expected = {f"eval_{name}": value for name, value in means.items()}
    assert found == [{**{f"eval_five_{name}": value for name, value in means.items()}, **expected}] * 2

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    shares: list[Any] = []
    monkeypatch.setattr(processes, "gathered", lambda own: shares.append(own) or [[3 * x / 2 for x in own], own])
    assert scoring.evaluate(job, answers, 2, torch.device("cpu")) == found[0], "the first one has 3 of 5"
    assert shares == [[4.0, 2.0 * length, 0.0]]
    assert drawn[10:] == drawn[1:5:2], "an answer has the same seed on any number of processes"
    asked.clear()
    held_out["five"] = held_out["five"][:1]
    scoring.evaluate(job, answers, 2, torch.device("cpu"))
    assert asked == [0], "it draws as often as the first, which has one"
