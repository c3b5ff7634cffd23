"""The loop: draw answers, have them scored, learn from them; with events, checkpoints and interruptions.

Every step seeds the random numbers by its own number, so that a resumed run draws the answers that an uninterrupted
one would have drawn.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from tunesmith import TunesmithError
from tunesmith.files import filling
from tunesmith.types import OptimizerSettings, RunEnded, RunStarted, Saved, StepEnded, TrainingJob
from tunesmith_stage_dpo.reference import without_dropout
from tunesmith_trainer_transformers import checkpoints
from tunesmith_trainer_transformers.interruption import Interruption

from tunesmith_stage_ppo import loss, state
from tunesmith_stage_ppo.policy import Policy, device_of, refuse_nothing_to_train
from tunesmith_stage_ppo.prompts import end_tokens, warn_of_evaluation
from tunesmith_stage_ppo.rollouts import Rollouts, collect

if TYPE_CHECKING:
    from tunesmith_stage_ppo import Ppo

Metrics = dict[str, float]


def fit(options: Ppo, job: TrainingJob, reference: Any) -> bool:
    """Train and save; whatever happens, the trackers hear that the run has ended.

    Args:
        reference: a `Reference` of the KL penalty, or None without penalty.
    """
    try:
        finished, metrics = _train(options, job, reference)
    except BaseException as error:
        job.emit(RunEnded("interrupted" if isinstance(error, KeyboardInterrupt) else "failed"))
        raise
    job.emit(RunEnded("finished" if finished else "interrupted", metrics))
    return finished


def _train(options: Ppo, job: TrainingJob, reference: Any) -> tuple[bool, Metrics]:
    """Train until the end or an interruption, and save the result at the end."""
    _refuse(job)
    warn_of_evaluation("ppo", job.data.eval)
    learner = Learner(options, job, reference)
    facts = {"num_examples": len(job.data.train), "seed": job.seed, "batch_size": options.batch_size}
    start = 0
    if job.resume:
        checkpoint = checkpoints.newest(job.output_dir, facts)
        checkpoints.discard_incomplete(job.output_dir)
        start = state.load(checkpoint, learner) if checkpoint else 0
    job.emit(RunStarted(job.output_dir, options.total_steps, {}, resumed_from=start))
    metrics: Metrics = {}
    with Interruption() as interruption, without_dropout(job.model):
        for step in range(start + 1, options.total_steps + 1):
            metrics = learner.step(step)
            stop = interruption.requested and step < options.total_steps
            logged = stop or step in (1, options.total_steps) or step % options.logging_steps == 0
            epoch = step * options.batch_size / len(job.data.train)
            job.emit(StepEnded(step, options.total_steps, epoch, metrics if logged else {}))
            if stop or (options.save_steps and step % options.save_steps == 0):
                folder = state.save(job.output_dir / f"checkpoint-{step}", learner, step, facts)
                checkpoints.rotate(job.output_dir, options.save_total_limit, None)
                job.emit(Saved(step, folder))
            if stop:
                return False, metrics
    with filling(job.output_dir, last=("adapter_config.json", "config.json")) as draft:
        job.processor.save_pretrained(draft)
        job.model.save_pretrained(draft)
        state.save_value_head(draft, learner.policy)
    job.emit(Saved(options.total_steps, job.output_dir))
    return True, metrics


def _refuse(job: TrainingJob) -> None:
    """Raises: TunesmithError for a run that this loop cannot do."""
    if not len(job.data.train):
        raise TunesmithError("There is no training data: no prompt was left after encoding.")
    if job.precision == "fp16":
        raise TunesmithError("stage.ppo does not train in fp16.\n  precision=bf16 or precision=fp32")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise TunesmithError("stage.ppo trains in one process.\n  for several: stage=grpo")


class Learner:
    """A policy, its optimizers, and one step of both."""

    def __init__(self, options: Ppo, job: TrainingJob, reference: Any) -> None:
        self.options, self.job, self.reference = options, job, reference
        device = device_of(options.use_cpu)
        if job.model.device.type != device.type:
            job.model.to(device)
        if reference is not None and reference.model is not None and reference.model.device.type != device.type:
            reference.model.to(device)
        self.policy = Policy(job.model, options.temperature, job.precision)
        refuse_nothing_to_train(self.policy)
        self.kl_coef = options.init_kl_coef
        tokenizer = getattr(job.processor, "tokenizer", job.processor)
        self.tokenizer, self.ends = tokenizer, end_tokens(job.template, tokenizer)
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
        torch.manual_seed(self.job.seed * 1_000_003 + number)
        rate = self._set_rates(number)
        prompts = [self.job.data.train[index] for index in self._examples(number)]
        rollouts = collect(self, prompts)
        means: dict[str, list[float]] = {}
        for _ in range(options.ppo_epochs):
            for chosen in torch.randperm(len(prompts)).split(options.mini_batch_size):
                moved = self._learn(rollouts.select(chosen), means)
            if options.target_kl is not None and moved > options.target_kl:
                break
        if options.kl_target is not None:
            kl = rollouts.metrics["kl"]
            self.kl_coef = loss.adapted_kl_coef(self.kl_coef, kl, options.kl_target, len(prompts), options.kl_horizon)
        learned = {name: sum(values) / len(values) for name, values in means.items()}
        return {**learned, **rollouts.metrics, "learning_rate": rate}

    def _learn(self, batch: Rollouts, means: dict[str, list[float]]) -> float:
        """One optimizer step; gives how far the policy has moved from the one that drew the answers."""
        options, mask = self.options, batch.mask
        log_probs, entropies, values = self.policy.evaluate(batch.sequences)
        of_policy, clipped = loss.policy_loss(log_probs, batch.log_probs, batch.advantages, mask, options.clip_range)
        of_value = loss.value_loss(values, batch.values, batch.returns, mask, options.value_clip_range)
        entropy = loss.masked_mean(entropies, mask)
        total = of_policy + options.value_coef * of_value - options.entropy_coef * entropy
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        total.backward()
        weights = [*self.policy.weights, *self.policy.head.parameters()]
        norm = torch.nn.utils.clip_grad_norm_(weights, options.max_grad_norm or float("inf"))
        for optimizer in self.optimizers:
            optimizer.step()
        moved = loss.approximate_kl(log_probs.detach(), batch.log_probs, mask).item()
        told = {
            "loss": total, "policy_loss": of_policy, "value_loss": of_value, "entropy": entropy,
            "clip_fraction": clipped, "grad_norm": norm,
        }  # fmt: skip
        for name, value in told.items():
            means.setdefault(name, []).append(float(value.detach()))
        means.setdefault("approx_kl", []).append(moved)
        return moved

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
