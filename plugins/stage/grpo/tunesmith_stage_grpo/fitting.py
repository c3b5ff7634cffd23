"""A run with one of TRL's loops, from its job to the saved result."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from transformers import PrinterCallback, TrainingArguments
from tunesmith import TunesmithError
from tunesmith.files import filling
from tunesmith.runs import is_main_process
from tunesmith.types import Event, OptimizerSettings, RunEnded, Saved, TrainingJob
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_training import processes
from tunesmith_stage_ppo.prompts import end_tokens, read
from tunesmith_stage_ppo.scoring import scores_of
from tunesmith_trainer_transformers import Transformers, checkpoints
from tunesmith_trainer_transformers.arguments import is_sharded, training_arguments
from tunesmith_trainer_transformers.interruption import Interruption
from tunesmith_trainer_transformers.stopping import EarlyStopping

from tunesmith_stage_grpo.loops import LOOPS
from tunesmith_stage_grpo.reporting import Reporter

if TYPE_CHECKING:
    from tunesmith_stage_grpo.groups import AnswerGroups

_OURS = frozenset({"max_prompt_length"})  # options that TRL does not have


def fit(options: AnswerGroups, trainer: Transformers | None, job: TrainingJob) -> bool:
    """Train and save; whatever happens, the trackers hear that the run has ended."""
    emit: Callable[[Event], None] = job.emit if is_main_process() else lambda event: None
    try:
        finished, metrics = _train(options, trainer or Transformers(), job, emit)
    except BaseException as error:
        emit(RunEnded("interrupted" if isinstance(error, KeyboardInterrupt) else "failed"))
        raise
    emit(RunEnded("finished" if finished else "interrupted", metrics))
    return finished


def _train(
    options: AnswerGroups, trainer: Transformers, job: TrainingJob, emit: Callable[[Event], None]
) -> tuple[bool, dict[str, float]]:
    """Train until the end or an interruption, and save the result at the end."""
    held_out = {name: dataset for name, dataset in job.data.eval.items() if len(dataset)}
    job = dataclasses.replace(job, data=dataclasses.replace(job.data, eval=held_out))
    _refuse(options, trainer, job)
    processes.join(trainer.use_cpu)
    use_cache = job.model.config.use_cache
    tokenizer = tokenizer_of(job.processor)
    job.model.generation_config.eos_token_id = end_tokens(job.template, tokenizer)
    facts = _order_of_data(trainer, job)
    with Interruption() as interruption:
        reporter = Reporter(
            job.output_dir, facts, trainer.save_total_limit, emit, interruption, passes=options.num_iterations
        )
        loop = LOOPS[options.NAME][1](
            model=job.model,
            reward_funcs=_reward_function(job),
            args=config(options, trainer, job),
            train_dataset=_dataset(job.data.train),
            eval_dataset={name: _dataset(dataset) for name, dataset in held_out.items()} or None,
            processing_class=job.processor,
            optimizers=(_optimizer(trainer, job), None),
            callbacks=[reporter],
        )
        loop.join(job, options, emit)
        loop.remove_callback(PrinterCallback)
        if trainer.early_stopping_patience is not None:
            loop.add_callback(EarlyStopping(trainer.early_stopping_patience, trainer.early_stopping_threshold))
        loop.train(resume_from_checkpoint=_checkpoint(loop, job, facts))
    metrics = {**reporter.metrics, **loop.last_evaluation}
    if reporter.stopped:
        return False, metrics
    job.model.config.use_cache = use_cache
    _save(loop, job)
    emit(Saved(loop.state.global_step, job.output_dir))
    return True, metrics


def _order_of_data(trainer: Transformers, job: TrainingJob) -> dict[str, int]:
    """What decides which prompts a step sees; a resumed run compares it."""
    return {
        "num_examples": len(job.data.train),
        "seed": job.seed,
        "world_size": processes.count(),
        "per_device_train_batch_size": trainer.per_device_train_batch_size,
        "gradient_accumulation_steps": trainer.gradient_accumulation_steps,
    }


def _refuse(options: AnswerGroups, trainer: Transformers, job: TrainingJob) -> None:
    """Raises: TunesmithError for a run that cannot be done."""
    if not len(job.data.train):
        raise TunesmithError("There is no training data: no prompt was left after encoding.")
    if is_sharded(trainer):
        raise TunesmithError(
            f"stage.{options.NAME} does not train sharded models.\n  leave out trainer.fsdp and .deepspeed"
        )
    evaluates = trainer.eval_strategy in ("steps", "epoch") or trainer.early_stopping_patience is not None
    if evaluates and not job.data.eval:
        raise TunesmithError(
            "The trainer is to evaluate, and there is no held-out prompt.\n  data.val_size=0.05 holds some out"
        )


def config(options: AnswerGroups, trainer: Transformers, job: TrainingJob) -> Any:
    """TRL's configuration: the trainer's options as transformers understands them, and the stage's own.

    Raises: TunesmithError with TRL's own words when it refuses them.
    """
    arguments = training_arguments(_compared_by_reward(trainer, job), job)
    common = {item.name: getattr(arguments, item.name) for item in dataclasses.fields(TrainingArguments) if item.init}
    own = {item.name: getattr(options, item.name) for item in dataclasses.fields(options) if item.name not in _OURS}
    fixed = {"disable_dropout": True, "report_to": "none", "num_generations_eval": 1}
    try:
        made = LOOPS[options.NAME][0](**{**common, **own, **fixed})
    except (ValueError, TypeError) as error:
        raise TunesmithError(f"TRL refuses the options: {error}") from error
    made.report_to = []
    return made


def _compared_by_reward(trainer: Transformers, job: TrainingJob) -> Transformers:
    """The trainer's options, in which evaluations are compared by the (first) mean reward when nothing was chosen."""
    if trainer.metric_for_best_model is not None or not job.data.eval:
        return trainer
    name = "eval_reward" if len(job.data.eval) == 1 else f"eval_{next(iter(job.data.eval))}_reward"
    return dataclasses.replace(trainer, metric_for_best_model=name, greater_is_better=True)


def _dataset(examples: Any) -> Dataset:
    """Prompts as conversations, which TRL writes with the tokenizer's chat template; and what rewards are given."""
    rows = [examples[index] for index in range(len(examples))]
    return Dataset.from_list(
        [{"prompt": read(example)[0], "source": example["prompt"], "row": example["row"]} for example in rows]
    )


def _reward_function(job: TrainingJob) -> Callable[..., list[float]]:
    """The sum of the rewards, as TRL calls it."""

    def reward(completions: Sequence[Any], source: Sequence[str], row: Sequence[str], **_: Any) -> list[float]:
        texts = [completion[0].get("content") or "" for completion in completions]
        return scores_of(job, [json.loads(text) for text in source], texts, [json.loads(text) for text in row])

    return reward


def _optimizer(trainer: Transformers, job: TrainingJob) -> Any:
    """The optimizer plugin's; None leaves it to transformers."""
    settings = OptimizerSettings(
        trainer.learning_rate, trainer.weight_decay, trainer.adam_beta1, trainer.adam_beta2, trainer.adam_epsilon
    )
    return job.build_optimizer(model=job.model, settings=settings)


def _checkpoint(loop: Any, job: TrainingJob, facts: dict[str, Any]) -> str | None:
    """The checkpoint to resume from, the same on all processes."""
    if not job.resume:
        return None
    found = checkpoints.newest(job.output_dir, facts)
    loop.accelerator.wait_for_everyone()
    if is_main_process():
        checkpoints.discard_incomplete(job.output_dir)
    loop.accelerator.wait_for_everyone()
    return str(found) if found else None


def _save(loop: Any, job: TrainingJob) -> None:
    """Write the adapter or the whole model, and the processor, into the run's folder; never half of them."""
    if "ref" in getattr(job.model, "peft_config", {}):  # TRL's copy of the adapter as it was
        job.model.delete_adapter("ref")
    if is_main_process():
        with filling(job.output_dir, last=("adapter_config.json", "config.json")) as draft:
            job.processor.save_pretrained(draft)
            job.model.save_pretrained(draft)
    loop.accelerator.wait_for_everyone()
