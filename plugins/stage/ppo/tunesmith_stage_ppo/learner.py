"""A policy that learns: draw answers, have them scored, learn from them.

Every step has random numbers of its own number, the same on all processes, so that a resumed run draws the answers that
an uninterrupted one would have drawn, and several processes those that one would have drawn. Each answers its share of
a step's prompts, and learns from its share of each mini-batch; gradients, whitening and the penalty are those of all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from tunesmith.types import OptimizerSettings
from tunesmith_library_training import processes, scoring
from tunesmith_library_training.drawing import Drawing
from tunesmith_library_training.envelope import Run
from tunesmith_library_training.evaluations import measured
from tunesmith_library_training.learning import add_gradients, clip_gradients, start_alike
from tunesmith_library_training.moments import Moments
from tunesmith_library_training.processes import total
from tunesmith_library_training.seeds import generator_of, seeds_from

from tunesmith_stage_ppo import loss
from tunesmith_stage_ppo.policy import Policy, device_of, refuse_nothing_to_train
from tunesmith_stage_ppo.rollouts import Collector, Rollouts

if TYPE_CHECKING:
    from tunesmith_stage_ppo import Ppo

Metrics = dict[str, float]


class Learner:
    """A policy, its optimizers, and one step of both."""

    def __init__(self, options: Ppo, run: Run, reference: Any, drawing: Drawing) -> None:
        self.options, self.job, self.guard = options, run.job, run.guard
        job = run.job
        device = device_of(options.use_cpu)
        if job.model.device.type != device.type:
            job.model.to(device)
        if reference is not None and reference.model is not None and reference.model.device.type != device.type:
            reference.model.to(device)
        self.policy = Policy(job.model, options.temperature, job.precision, job.processor)
        refuse_nothing_to_train(self.policy)
        self.weights = [*self.policy.weights, *self.policy.head.parameters()]
        start_alike(self.weights)
        self.mini_batch_size = options.mini_batch_size // processes.count()  # of this process
        self.kl_coef = options.init_kl_coef
        self.drawing = drawing
        self.scored = Moments()
        self.collector = Collector(options, job, self.policy, drawing, reference, self.mini_batch_size, self.scored)
        settings = OptimizerSettings(options.learning_rate, options.weight_decay, 0.9, 0.999, 1e-8)
        own = job.build_optimizer(model=job.model, settings=settings)
        self.optimizers = [
            own or torch.optim.AdamW(self.policy.weights, options.learning_rate, weight_decay=options.weight_decay),
            torch.optim.AdamW(self.policy.head.parameters(), options.value_learning_rate, weight_decay=0.0),
        ]
        self.rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]

    def step(self, number: int) -> Metrics:
        """Draw answers, learn from them, adapt the penalty; the step's metrics."""
        options = self.options
        torch.manual_seed((self.job.seed * 1_000_003 + number) * processes.count() + processes.rank())
        random = generator_of(self.job.seed, number)
        rate = self._set_rates(number)
        asked = list(self._examples(number))
        share, seeds = slice(processes.rank(), None, processes.count()), seeds_from(random, len(asked))
        prompts = [self.job.data.train[index] for index in asked[share]]
        rollouts = self.collector.collect(prompts, seeds[share], self.kl_coef)
        rollouts = rollouts.of_all(lambda place: self.job.data.train[asked[place]])
        means: dict[str, list[float]] = {}
        for _ in range(options.ppo_epochs):
            for chosen in torch.randperm(len(asked), generator=random).split(options.mini_batch_size):
                own = rollouts.dealt(chosen, processes.rank(), processes.count())
                examples = [asked[place] for place in own.tolist()]
                moved = self._learn(rollouts.select(own), means, number, examples)
            if options.target_kl is not None and moved > options.target_kl:
                break
        if options.kl_target is not None:
            kl = rollouts.metrics["kl"]
            count, horizon = options.batch_size, options.kl_horizon
            self.kl_coef = loss.adapted_kl_coef(self.kl_coef, kl, options.kl_target, count, horizon)
        learned = {name: sum(values) / len(values) for name, values in means.items()}
        return {**learned, **rollouts.metrics, "learning_rate": rate}

    def evaluate(self, step: int) -> Metrics:
        """After a step the mean reward of answers to each held-out set, and what the run's evaluators find out."""
        if not any(map(len, self.job.data.eval.values())):
            return {}
        rewards = scoring.evaluate(self.job, self.drawing.answers, self.mini_batch_size, self.policy.model.device)
        with self.policy.autocast():
            return rewards | measured(self.job, self.policy.model, step=step)[0]

    def _learn(self, batch: Rollouts, means: dict[str, list[float]], step: int, examples: list[int]) -> float:
        """One optimizer step; gives how far the policy has moved from the one that drew the answers.

        Raises: NonFinite before the step when the loss or the gradient is not finite.
        """
        options, mask = self.options, batch.mask
        count = total(mask.sum())  # the losses are this process's parts of means over all
        log_probs, entropies, values = self.policy.evaluate(batch.sequences)
        of_policy, clipped = loss.policy_loss(
            log_probs, batch.log_probs, batch.advantages, mask, options.clip_range, count
        )
        of_value = loss.value_loss(values, batch.values, batch.returns, mask, options.value_clip_range, count)
        entropy = loss.masked_mean(entropies, mask, count)
        objective = of_policy + options.value_coef * of_value - options.entropy_coef * entropy
        norm = self._gradient(objective)
        if not math.isfinite(norm):  # on all processes, whose gradients are added up
            self.guard.see("loss", objective, step, examples)
            self.guard.see("gradient", norm, step, examples)
            self.guard.check()
        for optimizer in self.optimizers:
            optimizer.step()
        moved = loss.approximate_kl(log_probs.detach(), batch.log_probs, mask, count)
        told = {
            "loss": objective, "policy_loss": of_policy, "value_loss": of_value, "entropy": entropy,
            "clip_fraction": clipped, "approx_kl": moved,
        }  # fmt: skip
        values_of_all = total(torch.stack([value.detach() for value in told.values()])).tolist()
        found: dict[str, float] = {**dict(zip(told, values_of_all, strict=True)), "grad_norm": norm}
        for name, value in found.items():
            means.setdefault(name, []).append(value)
        return found["approx_kl"]

    def _gradient(self, objective: torch.Tensor) -> float:
        """The gradient of all processes, clipped; its norm before that."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        objective.backward()
        add_gradients(self.weights)
        return clip_gradients(self.weights, self.options.max_grad_norm or math.inf)

    def _set_rates(self, number: int) -> float:
        """Set the learning rates of a step, a function of its number alone; the model's."""
        share = 1.0
        if self.options.lr_scheduler_type == "linear":
            share = 1 - (number - 1) / self.options.total_steps
        for optimizer, rates in zip(self.optimizers, self.rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * share
        return self.options.learning_rate * share

    def _examples(self, number: int) -> Iterator[int]:
        """The prompts of a step: a new order in each pass over the data."""
        count, size = len(self.job.data.train), self.options.batch_size
        orders: dict[int, list[int]] = {}
        for position in range((number - 1) * size, number * size):
            epoch, index = divmod(position, count)
            if epoch not in orders:
                generator = torch.Generator().manual_seed(self.job.seed + epoch)
                orders[epoch] = torch.randperm(count, generator=generator).tolist()
            yield orders[epoch][index]
