"""Answers as the rewards see them, and the mean reward of answers to held-out prompts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from tunesmith import TunesmithError
from tunesmith.types import Message, TrainingJob
from tunesmith_library_chat import tokenizer_of

from tunesmith_library_training import processes
from tunesmith_library_training.drawing import answer_ends
from tunesmith_library_training.prompts import read
from tunesmith_library_training.seeds import generator_of, seeds_from

Draw = Callable[[Sequence[Mapping[str, Any]], Sequence[int]], list[list[int]]]
"""Encoded prompts and a seed for each in, the token ids of an answer to each out, with the token that ended it, if one
did. All processes call it equally often."""


def scores_of(
    job: TrainingJob,
    prompts: Sequence[Sequence[Message]],
    completions: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
) -> list[float]:
    """The sum of all rewards of each answer.

    Raises: TunesmithError when nothing scores, or a score is no number.
    """
    return sums_of(scores_by_reward(job, prompts, completions, rows))


def scores_by_reward(
    job: TrainingJob,
    prompts: Sequence[Sequence[Message]],
    completions: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
) -> list[list[float]]:
    """What each reward gives to the answers, times its weight, in the order of the configuration.

    Raises: TunesmithError when nothing scores.
    """
    found = job.score(prompts=prompts, completions=completions, rows=rows) if job.score is not None else []
    if not found:
        raise TunesmithError(
            "no reward scores the answers.\n  select one under `reward`; `tunesmith plugins` lists them"
        )
    return found


def sums_of(found: Sequence[Sequence[float]]) -> list[float]:
    """The sum of all rewards of each answer. Raises: TunesmithError when a score is no number."""
    scores = [float(sum(values)) for values in zip(*found, strict=True)]
    if not all(map(math.isfinite, scores)):
        raise TunesmithError("a reward gave an answer a score that is no finite number")
    return scores


def judge(
    job: TrainingJob, examples: Sequence[Mapping[str, Any]], answers: Sequence[list[int]]
) -> tuple[list[float], list[bool]]:
    """The rewards of drawn answers to encoded prompts, and which of the answers came to an end by themselves."""
    tokenizer, ends = tokenizer_of(job.processor), answer_ends(job)
    ended = [bool(answer) and answer[-1] in ends for answer in answers]
    texts = [
        tokenizer.decode(answer[:-1] if end else answer, skip_special_tokens=True)
        for answer, end in zip(answers, ended, strict=True)
    ]
    prompts, rows = zip(*map(read, examples), strict=True)
    return scores_of(job, prompts, texts, rows), ended


def evaluate(job: TrainingJob, draw: Draw, batch_size: int, device: torch.device) -> dict[str, float]:
    """Answer each held-out prompt once; the means over each set, under the names that the trainer gives to metrics.

    Every evaluation of a run draws with the same seeds, on any number of processes, and the training goes on with its
    own random numbers. Each process answers its share.

    Returns: `eval_NAME_reward`, `eval_NAME_answer_tokens` and `eval_NAME_ended` (share of answers that came to an
        end), and with a single set the same without its name; nothing when nothing is held out.
    """
    metrics: dict[str, float] = {}
    datasets = {name: dataset for name, dataset in job.data.eval.items() if len(dataset)}
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        for name, dataset in datasets.items():
            torch.manual_seed(job.seed + processes.rank())  # of a reward that draws
            own = _sums(job, dataset, draw, batch_size)
            totals = [sum(column) for column in zip(*processes.gathered(own), strict=True)]
            for metric, total in zip(("reward", "answer_tokens", "ended"), totals, strict=True):
                metrics[f"eval_{name}_{metric}"] = total / len(dataset)
    if len(datasets) == 1:
        start = f"eval_{next(iter(datasets))}_"
        metrics |= {f"eval_{name.removeprefix(start)}": value for name, value in metrics.items()}
    return metrics


def _sums(job: TrainingJob, dataset: Any, draw: Draw, batch_size: int) -> list[float]:
    """Over this process's share of a data set: the sum of the rewards, the tokens, and the answers that ended."""
    seeds = seeds_from(generator_of(job.seed, 0), len(dataset))
    share = range(processes.rank(), len(dataset), processes.count())
    sums = [0.0, 0.0, 0.0]
    for start in range(0, -(-len(dataset) // processes.count()), batch_size):  # as often on all processes
        places = share[start : start + batch_size]
        examples = [dataset[place] for place in places]
        answers = draw(examples, [seeds[place] for place in places])
        if not examples:
            continue
        scores, ended = judge(job, examples, answers)
        for place, values in enumerate((scores, map(len, answers), ended)):
            sums[place] += sum(values)
    return sums
