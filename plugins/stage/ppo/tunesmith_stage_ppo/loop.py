"""The loop: draw answers, have them scored, learn from them; with events, checkpoints and interruptions.

Every step seeds the random numbers by its own number, so that a resumed run draws the answers that an uninterrupted
one would have drawn. Of several processes each answers its share of a step's prompts and of each mini-batch; gradients,
whitening and the penalty are those of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from tunesmith import TunesmithError
from tunesmith.files import filling
from tunesmith.runs import is_main_process
from tunesmith.types import Evaluated, Event, OptimizerSettings, RunEnded, RunStarted, Saved, StepEnded, TrainingJob
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_training import processes
from tunesmith_library_weights.switching import without_dropout
from tunesmith_trainer_transformers import checkpoints
from tunesmith_trainer_transformers.interruption import Interruption

from tunesmith_stage_ppo import loss, scoring, state
from tunesmith_stage_ppo.policy import Policy, device_of, refuse_nothing_to_train
from tunesmith_stage_ppo.prompts import end_tokens
from tunesmith_stage_ppo.rollouts import Rollouts, collect
from tunesmith_stage_ppo.together import add_gradients, any_of, start_alike, total, wait

if TYPE_CHECKING:
    from tunesmith_stage_ppo import Ppo

Metrics = dict[str, float]


def fit(options: Ppo, job: TrainingJob, reference: Any) -> bool:
    """Train and save; whatever happens, the trackers hear that the run has ended.

    Args:
        reference: a `Reference` of the KL penalty, or None without penalty.
    """
    emit: Callable[[Event], None] = job.emit if is_main_process() else lambda event: None
    try:
        finished, metrics = _train(options, job, reference, emit)
    except BaseException as error:
        emit(RunEnded("interrupted" if isinstance(error, KeyboardInterrupt) else "failed"))
        raise
    emit(RunEnded("finished" if finished else "interrupted", metrics))
    return finished


def _train(options: Ppo, job: TrainingJob, reference: Any, emit: Callable[[Event], None]) -> tuple[bool, Metrics]:
    """Train until the end or an interruption, and save the result at the end."""
    _refuse(job)
    processes.join(options.use_cpu)
    learner = Learner(options, job, reference)
    facts = {"num_examples": len(job.data.train), "seed": job.seed, "batch_size": options.batch_size}
    start = _resume(learner, facts) if job.resume else 0
    emit(RunStarted(job.output_dir, options.total_steps, {}, resumed_from=start))
    metrics: Metrics = {}
    evaluation: Metrics = {}
    with Interruption() as interruption, without_dropout(job.model):
        for step in range(start + 1, options.total_steps + 1):
            metrics = learner.step(step)
            last = step == options.total_steps
            stop = any_of(interruption.requested) and not last
            logged = stop or last or step == 1 or step % options.logging_steps == 0
            epoch = step * options.batch_size / len(job.data.train)
            emit(StepEnded(step, options.total_steps, epoch, metrics if logged else {}))
            if not stop and options.eval_steps and (last or step % options.eval_steps == 0):
                evaluation = learner.evaluate()
                if evaluation:
                    emit(Evaluated(step, evaluation))
            if stop or (options.save_steps and step % options.save_steps == 0):
                _checkpoint(learner, step, facts, emit)
            if stop:
                return False, {**metrics, **evaluation}
    if is_main_process():
        _save(learner)
    wait()
    emit(Saved(options.total_steps, job.output_dir))
    return True, {**metrics, **evaluation}


def _resume(learner: Learner, facts: dict[str, Any]) -> int:
    """Continue from the newest checkpoint, the same on all processes; gives its step, 0 when there is none."""
    output_dir = learner.job.output_dir
    checkpoint = checkpoints.newest(output_dir, facts)
    wait()
    if is_main_process():
        checkpoints.discard_incomplete(output_dir)
    return state.load(checkpoint, learner) if checkpoint else 0


def _checkpoint(learner: Learner, step: int, facts: dict[str, Any], emit: Callable[[Event], None]) -> None:
    """Write a checkpoint, which holds for all processes."""
    folder = learner.job.output_dir / f"checkpoint-{step}"
    if is_main_process():
        state.save(folder, learner, step, facts)
        checkpoints.rotate(learner.job.output_dir, learner.options.save_total_limit, None)
    wait()
    emit(Saved(step, folder))


def _save(learner: Learner) -> None:
    """Write the adapter or the whole model, the processor and the value head into the run's folder."""
    job = learner.job
    with filling(job.output_dir, last=("adapter_config.json", "config.json")) as draft:
        job.processor.save_pretrained(draft)
        job.model.save_pretrained(draft)
        state.save_value_head(draft, learner.policy)


def _refuse(job: TrainingJob) -> None:
    """Raises: TunesmithError for a run that this loop cannot do."""
    if not len(job.data.train):
        raise TunesmithError("There is no training data: no prompt was left after encoding.")
    if job.precision == "fp16":
        raise TunesmithError("stage.ppo does not train in fp16.\n  precision=bf16 or precision=fp32")


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
        self.weights = [*self.policy.weights, *self.policy.head.parameters()]
        start_alike(self.weights)
        self.mini_batch_size = options.mini_batch_size // processes.count()  # of this process
        self.kl_coef = options.init_kl_coef
        tokenizer = tokenizer_of(job.processor)
        self.ends = end_tokens(job.template, tokenizer)
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
        rate = self._set_rates(number)
        share = list(self._examples(number))[processes.rank() :: processes.count()]
        prompts = [self.job.data.train[index] for index in share]
        rollouts = collect(self, prompts)
        means: dict[str, list[float]] = {}
        for _ in range(options.ppo_epochs):
            for chosen in torch.randperm(len(prompts)).split(self.mini_batch_size):
                moved = self._learn(rollouts.select(chosen), means)
            if options.target_kl is not None and moved > options.target_kl:
                break
        if options.kl_target is not None:
            kl = rollouts.metrics["kl"]
            count, horizon = options.batch_size, options.kl_horizon
            self.kl_coef = loss.adapted_kl_coef(self.kl_coef, kl, options.kl_target, count, horizon)
        learned = {name: sum(values) / len(values) for name, values in means.items()}
        return {**learned, **rollouts.metrics, "learning_rate": rate}

    def evaluate(self) -> Metrics:
        """The mean reward of answers to each set of held-out prompts."""

        def draw(prompts: list[list[int]]) -> list[list[int]]:
            return self.policy.answers(prompts, self.options.max_new_tokens, self.ends)

        return scoring.evaluate(self.job, draw, self.mini_batch_size, self.policy.model.device)

    def _learn(self, batch: Rollouts, means: dict[str, list[float]]) -> float:
        """One optimizer step; gives how far the policy has moved from the one that drew the answers."""
        options, mask = self.options, batch.mask
        count = total(mask.sum())  # the losses are this process's parts of means over all
        log_probs, entropies, values = self.policy.evaluate(batch.sequences)
        of_policy, clipped = loss.policy_loss(
            log_probs, batch.log_probs, batch.advantages, mask, options.clip_range, count
        )
        of_value = loss.value_loss(values, batch.values, batch.returns, mask, options.value_clip_range, count)
        entropy = loss.masked_mean(entropies, mask, count)
        objective = of_policy + options.value_coef * of_value - options.entropy_coef * entropy
        norm = self._descend(objective)
        moved = loss.approximate_kl(log_probs.detach(), batch.log_probs, mask, count)
        told = {
            "loss": objective, "policy_loss": of_policy, "value_loss": of_value, "entropy": entropy,
            "clip_fraction": clipped, "approx_kl": moved,
        }  # fmt: skip
        values_of_all = total(torch.stack([value.detach() for value in told.values()])).tolist()
        found = {**dict(zip(told, values_of_all, strict=True)), "grad_norm": norm}
        for name, value in found.items():
            means.setdefault(name, []).append(value)
        return found["approx_kl"]

    def _descend(self, objective: torch.Tensor) -> float:
        """A step of both optimizers along the gradient of all processes; its norm before clipping."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        objective.backward()
        add_gradients(self.weights)
        norm = torch.nn.utils.clip_grad_norm_(self.weights, self.options.max_grad_norm or float("inf"))
        for optimizer in self.optimizers:
            optimizer.step()
        return float(norm)

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
