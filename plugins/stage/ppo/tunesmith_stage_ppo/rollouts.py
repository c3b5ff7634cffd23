"""Answers with everything that is learned from them: drawn, scored, compared with the reference, valued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from tunesmith import TunesmithError

from tunesmith_stage_ppo import loss
from tunesmith_stage_ppo.policy import Sequences
from tunesmith_stage_ppo.prompts import read

if TYPE_CHECKING:
    from tunesmith_stage_ppo.loop import Learner

Tensor = torch.Tensor


@dataclass(frozen=True)
class Rollouts:
    """The answers of a step, padded to the longest."""

    input_ids: Tensor  # int64 (B, T + 1)
    attention_mask: Tensor  # int64 (B, T + 1)
    mask: Tensor  # bool (B, T): the positions that predict a token of the answer
    log_probs: Tensor  # (B, T) fp32, as all below: of the policy that drew the answers
    values: Tensor
    advantages: Tensor
    returns: Tensor
    metrics: Mapping[str, float]  # of the step

    @property
    def sequences(self) -> Sequences:
        return self.input_ids, self.attention_mask, self.mask

    def select(self, chosen: Tensor) -> Rollouts:
        """Some of the answers, without the padding that only the others need."""
        width = int(self.attention_mask[chosen].sum(dim=1).max())
        cut = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, torch.Tensor):
                cut[item.name] = value[chosen.to(value.device), : width - (value.shape[1] < self.input_ids.shape[1])]
        return replace(self, **cut)


def collect(learner: Learner, examples: Sequence[Mapping[str, Any]]) -> Rollouts:
    """Answer prompts and prepare what is learned from the answers."""
    options, policy = learner.options, learner.policy
    size = options.mini_batch_size
    prompts = [list(example["prompt_input_ids"]) for example in examples]
    answers: list[list[int]] = []
    for start in range(0, len(prompts), size):
        answers += policy.answers(prompts[start : start + size], options.max_new_tokens, learner.ends)
    scores, told = _scores(learner, examples, answers)
    input_ids, attention_mask, mask = policy.sequences(prompts, answers)
    columns: list[list[Tensor]] = [[], [], [], []]
    for start in range(0, len(prompts), size):
        some = slice(start, start + size)
        sequences = (input_ids[some], attention_mask[some], mask[some])
        with torch.no_grad():
            found = [*policy.evaluate(sequences)]
        if learner.reference is not None:
            found.append(policy.reference_log_probs(learner.reference, sequences))
        for column, value in zip(columns, found, strict=False):
            column.append(value)
    log_probs, _, values = (torch.cat(column) for column in columns[:3])
    reference = torch.cat(columns[3]) if columns[3] else None
    rewards = loss.token_rewards(scores.to(mask.device), log_probs, reference, mask, learner.kl_coef)
    if options.whiten_rewards:
        rewards = loss.whiten(rewards, mask, shift_mean=False)
    advantages, returns = loss.generalized_advantages(rewards, values, mask, options.gamma, options.lam)
    if options.whiten_advantages:
        advantages = loss.whiten(advantages, mask)
    kl = 0.0 if reference is None else (log_probs - reference).sum(dim=1).mean().item()
    metrics = {**told, "kl": kl, "kl_coef": learner.kl_coef, "value": loss.masked_mean(values, mask).item()}
    return Rollouts(input_ids, attention_mask, mask, log_probs, values, advantages, returns, metrics)


def _scores(
    learner: Learner, examples: Sequence[Mapping[str, Any]], answers: Sequence[list[int]]
) -> tuple[Tensor, dict[str, float]]:
    """The rewards of answers, (B,) fp32, and what is told of them.

    Raises: TunesmithError when nothing scores, or a score is no number.
    """
    job, options = learner.job, learner.options
    ended = [bool(answer) and answer[-1] in learner.ends for answer in answers]
    texts = [
        learner.tokenizer.decode(answer[:-1] if end else answer, skip_special_tokens=True)
        for answer, end in zip(answers, ended, strict=True)
    ]
    prompts, rows = zip(*map(read, examples), strict=True)
    found = job.score(prompts=prompts, completions=texts, rows=rows) if job.score is not None else []
    if not found:
        raise TunesmithError("no reward scores the answers.\n  select one, for example reward.numeric={}")
    scores = torch.tensor(found, dtype=torch.float32).sum(dim=0)
    if not bool(scores.isfinite().all()):
        raise TunesmithError("a reward gave an answer a score that is no finite number")
    told = {
        "reward": scores.mean().item(),
        "reward_std": scores.std(correction=0).item(),
        "answer_tokens": sum(map(len, answers)) / len(answers),
        "ended": sum(ended) / len(ended),
    }
    return scores - options.missing_end_penalty * (~torch.tensor(ended)).float(), told
