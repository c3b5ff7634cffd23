"""Answers with everything that is learned from them: drawn, scored, compared with the reference, valued."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from tunesmith.types import TrainingJob
from tunesmith_library_training import processes
from tunesmith_library_training.drawing import Drawing
from tunesmith_library_training.moments import Moments
from tunesmith_library_training.processes import total
from tunesmith_library_training.prompts import items_shown
from tunesmith_library_training.scoring import judge

from tunesmith_stage_ppo import loss
from tunesmith_stage_ppo.policy import Policy, Sequences

if TYPE_CHECKING:
    from tunesmith_stage_ppo import Ppo

Tensor = torch.Tensor


@dataclass(frozen=True)
class Rollouts:
    """Answers of a step, padded to the longest."""

    input_ids: Tensor  # int64 (B, T + 1)
    attention_mask: Tensor  # int64 (B, T + 1)
    mask: Tensor  # bool (B, T): the positions that predict a token of the answer
    log_probs: Tensor  # (B, T) fp32, as all below: of the policy that drew the answers
    values: Tensor
    advantages: Tensor
    returns: Tensor
    items: Sequence[Mapping[str, Any]]  # B: what each prompt shows
    metrics: Mapping[str, float]  # of the step

    @property
    def sequences(self) -> Sequences:
        return Sequences(self.input_ids, self.attention_mask, self.mask, self.items)

    def select(self, chosen: Tensor) -> Rollouts:
        """Some of the answers, without the padding that only the others need."""
        width = int(self.attention_mask[chosen].sum(dim=1).max())
        cut: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, torch.Tensor):
                cut[item.name] = value[chosen.to(value.device), : width - (value.shape[1] < self.input_ids.shape[1])]
        return replace(self, **cut, items=[self.items[index] for index in chosen.tolist()])

    def of_all(self, example: Callable[[int], Mapping[str, Any]]) -> Rollouts:
        """The answers of all processes, on each of them: the process r has given those in the places r, r + count, …

        Args:
            example: gives the encoded prompt at a place; what it shows is not sent around.
        """
        if processes.count() == 1:
            return self
        named = {item.name: getattr(self, item.name) for item in fields(self)}
        own = {name: tensor.cpu() for name, tensor in named.items() if isinstance(tensor, torch.Tensor)}
        shares = processes.gathered(own)
        width = max(share["input_ids"].shape[1] for share in shares)
        made: dict[str, Any] = {}
        for name in own:
            wide = width - (own[name].shape[1] < own["input_ids"].shape[1])
            padded = [F.pad(share[name], (0, wide - share[name].shape[1])) for share in shares]
            made[name] = torch.stack(padded, dim=1).flatten(0, 1).to(self.mask.device)
        return replace(self, **made, items=[items_shown(example(place)) for place in range(len(made["mask"]))])

    def dealt(self, chosen: Tensor, share: int, shares: int) -> Tensor:
        """The places, of some that are chosen, from which one of several processes learns: as many tokens as others."""
        if shares == 1:
            return chosen
        lengths = self.attention_mask.sum(dim=1).cpu()[chosen]
        return chosen[lengths.argsort(stable=True)][share::shares]


@dataclass(frozen=True)
class Collector:
    """Has prompts answered, this process's share of a step, and prepares what is learned from the answers."""

    options: Ppo
    job: TrainingJob
    policy: Policy
    drawing: Drawing  # what answers
    reference: Any  # a `Reference` of the KL penalty; None without penalty
    size: int  # answers that are computed together
    scored: Moments  # of the scores of all steps, which count where scores are normalised

    def collect(self, examples: Sequence[Mapping[str, Any]], seeds: Sequence[int], kl_coef: float) -> Rollouts:
        """Answer encoded prompts.

        Args:
            seeds: by which the answers are drawn.
            kl_coef: the penalty per nat by which a token is likelier than with the reference.
        """
        options, policy = self.options, self.policy
        answers: list[list[int]] = []
        for start in range(0, len(examples), self.size):
            some = slice(start, start + self.size)
            answers += self.drawing.answers(examples[some], seeds[some])
        scores, ended = judge(self.job, examples, answers)
        rated = self._normalized(torch.tensor(scores, device=policy.model.device)).cpu()
        sequences = policy.sequences(examples, answers)
        mask = sequences.mask
        log_probs, values, reference = self._evaluate(sequences)
        lowered = rated - options.missing_end_penalty * (~torch.tensor(ended)).float()
        rewards = loss.token_rewards(lowered.to(mask.device), log_probs, reference, mask, kl_coef)
        if options.whiten_rewards:
            rewards = loss.whiten(rewards, mask, shift_mean=False, total=total)
        advantages, returns = loss.generalized_advantages(rewards, values, mask, options.gamma, options.lam)
        if options.whiten_advantages:
            advantages = loss.whiten(advantages, mask, total=total)
        kl = torch.zeros(len(mask)) if reference is None else (log_probs - reference).sum(dim=1)
        told = _means({"reward": scores, "answer_tokens": list(map(len, answers)), "ended": ended, "kl": kl.tolist()})
        value = total(loss.masked_mean(values, mask, total(mask.sum()))).item()
        metrics = {**told, "kl_coef": kl_coef, "value": value}
        ids, filled, mask, items = sequences
        return Rollouts(ids, filled, mask, log_probs, values, advantages, returns, items, metrics)

    def _normalized(self, scores: Tensor) -> Tensor:
        """(B,) fp32 as they count in the rewards: by all scores of the run, those of this step too."""
        if not self.options.normalize_scores:
            return scores
        self.scored.add(scores)
        return (scores - self.scored.mean) / (self.scored.deviation + torch.finfo(torch.float32).eps)

    def _evaluate(self, sequences: Sequences) -> tuple[Tensor, Tensor, Tensor | None]:
        """Log-probabilities and values by the policy, log-probabilities by the reference if any; (B, T) fp32."""
        policy = self.policy
        columns: list[list[Tensor]] = [[], [], []]
        for start in range(0, len(sequences.mask), self.size):
            some = sequences.rows(start, start + self.size)
            with torch.no_grad():
                log_probs, _, values = policy.evaluate(some)
            columns[0].append(log_probs)
            columns[1].append(values)
            if self.reference is not None:
                columns[2].append(policy.reference_log_probs(self.reference, some))
        return torch.cat(columns[0]), torch.cat(columns[1]), torch.cat(columns[2]) if columns[2] else None


def _means(columns: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The mean of each column over the answers of all processes, and the standard deviation of the reward."""
    shares = processes.gathered({name: list(values) for name, values in columns.items()})
    every = {name: torch.tensor([value for share in shares for value in share[name]]).float() for name in columns}
    means = {name: values.mean().item() for name, values in every.items()}
    return {**means, "reward_std": every["reward"].std(correction=0).item()}
