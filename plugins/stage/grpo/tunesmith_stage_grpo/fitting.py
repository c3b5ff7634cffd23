"""A run with one of TRL's loops, from its job to what came of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from datasets import Dataset
from transformers import PrinterCallback, TrainingArguments
from tunesmith import TunesmithError, announce
from tunesmith.types import OptimizerSettings, TrainingJob
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_training import processes
from tunesmith_library_training.drawing import Drawing, answer_ends
from tunesmith_library_training.envelope import Outcome, Run, refuse_no_data, train_to_end
from tunesmith_library_training.metrics import Declared, settle_best
from tunesmith_library_training.prompts import read
from tunesmith_library_training.reporting import checkpoint_of
from tunesmith_library_training.routing import coefficient_in_use
from tunesmith_library_training.scoring import scores_by_reward, sums_of
from tunesmith_library_training.sharding import gathered_weights, spread_by, spread_of
from tunesmith_library_training.stopping import EarlyStopping

from tunesmith_stage_grpo.asking import asking, number_of, numbered
from tunesmith_stage_grpo.drawing import generating_by, sampling_of
from tunesmith_stage_grpo.loops import LOOPS
from tunesmith_stage_grpo.options import GroupOptions, TrainerOptions
from tunesmith_stage_grpo.reporting import Reporter
from tunesmith_stage_grpo.spreading import loop_of

_OURS = frozenset({"max_prompt_length"})  # options that TRL does not have


def fit(
    options: GroupOptions,
    trainer: Any,
    following: TrainerOptions,
    declared: Declared,
    job: TrainingJob,
    rewards: Sequence[str] = (),
) -> bool:
    """Train and save; gives whether training reached its end.

    Args:
        trainer: a plugin whose traits promise `training_arguments`.
        following: which of its options the loop follows besides.
        declared: the metrics of the run's evaluations.
        rewards: names of the rewards, in the order of their scores.
    """
    held_out = {name: dataset for name, dataset in job.data.eval.items() if len(dataset)}
    job = dataclasses.replace(job, data=dataclasses.replace(job.data, eval=held_out))

    def train(run: Run) -> Outcome:
        with Drawing(run.job, sampling_of(options)) as drawing:
            return _train(options, trainer, following, declared, run, drawing, rewards)

    return train_to_end(job, train)


def _train(
    options: GroupOptions,
    trainer: Any,
    following: TrainerOptions,
    declared: Declared,
    run: Run,
    drawing: Drawing,
    rewards: Sequence[str],
) -> Outcome:
    """Train until the end or an interruption."""
    job = run.job
    refuse_no_data(job, "prompt")
    processes.join(following.use_cpu)
    metric = following.metric_for_best_model or (declared.first(job.data.eval) if job.data.eval else None)
    arguments = trainer.training_arguments(job, metric_for_best_model=metric)
    _refuse_evaluation_without_prompts(arguments, following, job)
    job.model.generation_config.eos_token_id = answer_ends(job)
    settings = config(options, arguments)
    settings.router_aux_loss_coef = coefficient_in_use(job.model)
    size = settings.per_device_train_batch_size * settings.gradient_accumulation_steps
    processes.tell(size * processes.shares(), "answers", spread_by(job.model))
    loop = _loop(options, settings, arguments, job, rewards)
    loop.join(run, drawing)
    if job.data.eval:
        greater = following.greater_is_better
        settle_best(loop.args, job.data.eval, declared, greater_is_better=greater, look=loop.measured_directions)
    elif job.evaluate is not None:
        announce("evaluators", "not asked during training", "there is no evaluation data")
    loop.remove_callback(PrinterCallback)
    reporter = Reporter(run, loop, following.save_total_limit, passes=options.num_iterations)
    loop.add_callback(reporter)
    if following.early_stopping_patience is not None:
        loop.add_callback(EarlyStopping(following.early_stopping_patience, following.early_stopping_threshold))
    with generating_by(drawing, job.model, job.data.train, loop.seeds):
        loop.train(resume_from_checkpoint=checkpoint_of(run, loop.args))
    if "ref" in getattr(job.model, "peft_config", {}):  # TRL's copy of the adapter as it was
        job.model.delete_adapter("ref")
    metrics = {**reporter.metrics, **loop.last_evaluation}
    weights = None if spread_of(job.model) is None else gathered_weights(job.model)
    return Outcome(loop.state.global_step, not reporter.stopped, metrics, weights=weights)


def _loop(options: GroupOptions, settings: Any, arguments: Any, job: TrainingJob, rewards: Sequence[str]) -> Any:
    """TRL's loop over the job's prompts."""
    return loop_of(
        LOOPS[options.NAME][1],
        job.model,
        settings,
        reward_funcs=_reward_function(job, rewards),
        train_dataset=_dataset(job.data.train),
        eval_dataset={name: _dataset(dataset) for name, dataset in job.data.eval.items()} or None,
        processing_class=asking(tokenizer_of(job.processor), job.data.train),
        optimizers=(_optimizer(arguments, job), None),
    )


def _refuse_evaluation_without_prompts(arguments: Any, following: TrainerOptions, job: TrainingJob) -> None:
    evaluates = arguments.eval_strategy != "no" or following.early_stopping_patience is not None
    if evaluates and not job.data.eval:
        raise TunesmithError(
            "The trainer is to evaluate, and there is no held-out prompt.\n  data.val_size=0.05 holds some out"
        )


def config(options: GroupOptions, arguments: Any) -> Any:
    """TRL's configuration: the trainer's arguments, and the stage's own.

    Raises: TunesmithError with TRL's own words when it refuses them.
    """
    common = {item.name: getattr(arguments, item.name) for item in dataclasses.fields(TrainingArguments) if item.init}
    fields = (item.name for item in dataclasses.fields(options) if item.init and item.name not in _OURS)
    own = {name: getattr(options, name) for name in fields}
    fixed = {"disable_dropout": True, "report_to": "none", "num_generations_eval": 1, "remove_unused_columns": False}
    try:
        made = LOOPS[options.NAME][0](**{**common, **own, **fixed})
    except (ValueError, TypeError) as error:
        raise TunesmithError(f"TRL refuses the options: {error}") from error
    made.report_to = []
    return made


def _dataset(examples: Any) -> Dataset:
    """Prompts as TRL knows them."""
    return Dataset.from_list(numbered(len(examples)))


def _reward_function(job: TrainingJob, names: Sequence[str]) -> Callable[..., list[float]]:
    """The sum of the rewards, as TRL calls it; of several each is logged by itself, too: `rewards/NAME/mean`."""

    def reward(prompts: Sequence[Any], completions: Sequence[Any], log_metric: Any, **_: Any) -> list[float]:
        texts = [completion[0].get("content") or "" for completion in completions]
        asked, rows = zip(*(read(job.data.train[number_of(prompt)]) for prompt in prompts), strict=True)
        found = scores_by_reward(job, asked, texts, rows)
        for name, scores in zip(names if len(names) == len(found) > 1 else (), found, strict=False):
            log_metric(f"rewards/{name.rpartition(':')[2]}/mean", sum(scores) / len(scores))
        return sums_of(found)

    return reward


def _optimizer(arguments: Any, job: TrainingJob) -> Any:
    """The optimizer plugin's; None leaves it to transformers."""
    settings = OptimizerSettings(
        arguments.learning_rate,
        arguments.weight_decay,
        arguments.adam_beta1,
        arguments.adam_beta2,
        arguments.adam_epsilon,
    )
    return job.build_optimizer(model=job.model, settings=settings)
