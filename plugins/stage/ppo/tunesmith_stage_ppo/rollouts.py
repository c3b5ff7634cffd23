"""Answers with everything that is learned from them: drawn, scored, compared with the reference, valued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from tunesmith_library_training import processes

from tunesmith_stage_ppo import loss
from tunesmith_stage_ppo.policy import Sequences
from tunesmith_stage_ppo.scoring import judge
from tunesmith_stage_ppo.together import total

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
    """Answer prompts, this process's share of a step, and prepare what is learned from the answers."""
    options, policy = learner.options, learner.policy
    size = learner.mini_batch_size
    prompts = [list(example["prompt_input_ids"]) for example in examples]
    answers: list[list[int]] = []
    for start in range(0, len(prompts), size):
        answers += policy.answers(prompts[start : start + size], options.max_new_tokens, learner.ends)
    scores, ended = judge(learner.job, examples, answers)
    sequences = policy.sequences(prompts, answers)
    mask = sequences[2]
    log_probs, values, reference = _evaluate(learner, sequences)
    lowered = torch.tensor(scores) - options.missing_end_penalty * (~torch.tensor(ended)).float()
    rewards = loss.token_rewards(lowered.to(mask.device), log_probs, reference, mask, learner.kl_coef)
    if options.whiten_rewards:
        rewards = loss.whiten(rewards, mask, shift_mean=False, total=total)
    advantages, returns = loss.generalized_advantages(rewards, values, mask, options.gamma, options.lam)
    if options.whiten_advantages:
        advantages = loss.whiten(advantages, mask, total=total)
    kl = torch.zeros(len(mask)) if reference is None else (log_probs - reference).sum(dim=1)
    told = _means({"reward": scores, "answer_tokens": list(map(len, answers)), "ended": ended, "kl": kl.tolist()})
    value = total(loss.masked_mean(values, mask, total(mask.sum()))).item()
    metrics = {**told, "kl_coef": learner.kl_coef, "value": value}
    return Rollouts(*sequences, log_probs, values, advantages, returns, metrics)


def _evaluate(learner: Learner, sequences: Sequences) -> tuple[Tensor, Tensor, Tensor | None]:
    """Log-probabilities and values by the policy, log-probabilities by the reference if there is one; (B, T) fp32."""
    policy, size = learner.policy, learner.mini_batch_size
    columns: list[list[Tensor]] = [[], [], []]
    for start in range(0, len(sequences[0]), size):
        some: Sequences = tuple(tensor[start : start + size] for tensor in sequences)  # type: ignore[assignment]
        with torch.no_grad():
            log_probs, _, values = policy.evaluate(some)
        columns[0].append(log_probs)
        columns[1].append(values)
        if learner.reference is not None:
            columns[2].append(policy.reference_log_probs(learner.reference, some))
    return torch.cat(columns[0]), torch.cat(columns[1]), torch.cat(columns[2]) if columns[2] else None


def _means(columns: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The mean of each column over the answers of all processes, and the standard deviation of the reward."""
    shares = processes.gathered({name: list(values) for name, values in columns.items()})
    every = {name: torch.tensor([value for share in shares for value in share[name]]).float() for name in columns}
    means = {name: values.mean().item() for name, values in every.items()}
    return {**means, "reward_std": every["reward"].std(correction=0).item()}
