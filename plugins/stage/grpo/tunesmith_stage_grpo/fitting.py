"""A run with TRL's GRPOTrainer, from its job to the saved result."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainingArguments
from trl import GRPOConfig, GRPOTrainer
from tunesmith import TunesmithError
from tunesmith.files import filling
from tunesmith.runs import is_main_process
from tunesmith.types import Event, OptimizerSettings, RunEnded, Saved, TrainingJob
from tunesmith_stage_ppo.prompts import end_tokens, read, warn_of_evaluation
from tunesmith_trainer_transformers import Transformers, checkpoints
from tunesmith_trainer_transformers.arguments import is_sharded, training_arguments
from tunesmith_trainer_transformers.interruption import Interruption

from tunesmith_stage_grpo.reporting import Reporter

if TYPE_CHECKING:
    from tunesmith_stage_grpo import Grpo

_OURS = frozenset({"max_prompt_length"})  # options that TRL does not have


class Config(GRPOConfig):
    """GRPOConfig of a process that trains on one device."""

    @property
    def n_gpu(self) -> int:
        """At most 1: TRL refuses nn.DataParallel, which transformers would take for more."""
        return min(1, super().n_gpu)


class Loop(GRPOTrainer):
    """A GRPOTrainer that draws answers in the numbers it trains in, and writes no model card into the run's folder."""

    in_bf16 = False

    def training_step(self, *arguments: Any, **options: Any) -> Any:
        """Draw answers, where they are due, and learn from them.

        In bf16 both: transformers' own switch leaves out the drawing, in which weights trained in fp32 would meet
        others in bf16. Without a cache, which would keep weights that the drawing has cut off from their gradients.
        """
        with torch.autocast(self.args.device.type, torch.bfloat16, enabled=self.in_bf16, cache_enabled=False):
            return super().training_step(*arguments, **options)

    def create_model_card(self, *_: Any, **__: Any) -> None:
        return None


def fit(options: Grpo, trainer: Transformers | None, job: TrainingJob) -> bool:
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
    options: Grpo, trainer: Transformers, job: TrainingJob, emit: Callable[[Event], None]
) -> tuple[bool, dict[str, float]]:
    """Train until the end or an interruption, and save the result at the end."""
    if not len(job.data.train):
        raise TunesmithError("There is no training data: no prompt was left after encoding.")
    if is_sharded(trainer):
        raise TunesmithError("stage.grpo does not train sharded models.\n  leave out trainer.fsdp and .deepspeed")
    warn_of_evaluation("grpo", job.data.eval)
    use_cache = job.model.config.use_cache
    tokenizer = getattr(job.processor, "tokenizer", job.processor)
    job.model.generation_config.eos_token_id = end_tokens(job.template, tokenizer)
    facts = {"num_examples": len(job.data.train), "seed": job.seed}
    with Interruption() as interruption:
        reporter = Reporter(job.output_dir, facts, trainer.save_total_limit, emit, interruption)
        loop = Loop(
            model=job.model,
            reward_funcs=_reward_function(job),
            args=config(options, trainer, job),
            train_dataset=_dataset(job),
            processing_class=job.processor,
            optimizers=(_optimizer(trainer, job), None),
            callbacks=[reporter],
        )
        loop.in_bf16 = job.precision == "bf16"
        loop.remove_callback(PrinterCallback)
        loop.train(resume_from_checkpoint=_checkpoint(loop, job, facts))
    if reporter.stopped:
        return False, reporter.metrics
    job.model.config.use_cache = use_cache
    _save(loop, job)
    emit(Saved(loop.state.global_step, job.output_dir))
    return True, reporter.metrics


def config(options: Grpo, trainer: Transformers, job: TrainingJob) -> Config:
    """TRL's configuration: the trainer's options as transformers understands them, and the stage's own.

    Raises: TunesmithError with TRL's own words when it refuses them.
    """
    arguments = training_arguments(trainer, dataclasses.replace(job, data=dataclasses.replace(job.data, eval={})))
    common = {item.name: getattr(arguments, item.name) for item in dataclasses.fields(TrainingArguments) if item.init}
    own = {item.name: getattr(options, item.name) for item in dataclasses.fields(options) if item.name not in _OURS}
    fixed = {"disable_dropout": True, "report_to": "none", "eval_strategy": "no"}
    try:
        made = Config(**{**common, **own, **fixed})
    except (ValueError, TypeError) as error:
        raise TunesmithError(f"TRL refuses the options: {error}") from error
    made.report_to = []
    return made


def _dataset(job: TrainingJob) -> Dataset:
    """Prompts as conversations, which TRL writes with the tokenizer's chat template; and what rewards are given."""
    train = job.data.train
    examples = [train[index] for index in range(len(train))]
    return Dataset.from_list(
        [{"prompt": read(example)[0], "source": example["prompt"], "row": example["row"]} for example in examples]
    )


def _reward_function(job: TrainingJob) -> Callable[..., list[float]]:
    """The sum of the rewards, as TRL calls it.

    Raises: TunesmithError when nothing scores, or a score is no number.
    """

    def reward(completions: Sequence[Any], source: Sequence[str], row: Sequence[str], **_: Any) -> list[float]:
        texts = [completion[0].get("content") or "" for completion in completions]
        prompts, rows = [json.loads(text) for text in source], [json.loads(text) for text in row]
        found = job.score(prompts=prompts, completions=texts, rows=rows) if job.score is not None else []
        if not found:
            raise TunesmithError("no reward scores the answers.\n  select one, for example reward.numeric={}")
        scores = [sum(values) for values in zip(*found, strict=True)]
        if not all(map(math.isfinite, scores)):
            raise TunesmithError("a reward gave an answer a score that is no finite number")
        return scores

    return reward


def _optimizer(trainer: Transformers, job: TrainingJob) -> Any:
    """The optimizer plugin's; None leaves it to transformers."""
    settings = OptimizerSettings(
        trainer.learning_rate, trainer.weight_decay, trainer.adam_beta1, trainer.adam_beta2, trainer.adam_epsilon
    )
    return job.build_optimizer(model=job.model, settings=settings)


def _checkpoint(loop: Loop, job: TrainingJob, facts: dict[str, Any]) -> str | None:
    """The checkpoint to resume from, the same on all processes."""
    if not job.resume:
        return None
    found = checkpoints.newest(job.output_dir, facts)
    loop.accelerator.wait_for_everyone()
    if is_main_process():
        checkpoints.discard_incomplete(job.output_dir)
    loop.accelerator.wait_for_everyone()
    return str(found) if found else None


def _save(loop: Loop, job: TrainingJob) -> None:
    """Write the adapter or the whole model, and the processor, into the run's folder; never half of them."""
    if "ref" in getattr(job.model, "peft_config", {}):  # TRL's copy of the adapter as it was
        job.model.delete_adapter("ref")
    if is_main_process():
        with filling(job.output_dir, last=("adapter_config.json", "config.json")) as draft:
            job.processor.save_pretrained(draft)
            job.model.save_pretrained(draft)
    loop.accelerator.wait_for_everyone()
