"""What is wrong with a combination of the trainer's options; free of torch."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Literal

from tunesmith.types import Problem
from tunesmith_library_training.ends import end_problems
from tunesmith_library_training.metrics import unknown_metric
from tunesmith_library_training.stateful import stateful_layers_of

from tunesmith_trainer_transformers.adopting import adopting_problems
from tunesmith_trainer_transformers.names import name_problems
from tunesmith_trainer_transformers.optims import OF_SHARDS
from tunesmith_trainer_transformers.rates import rate_problems
from tunesmith_trainer_transformers.schedules import schedule_problems
from tunesmith_trainer_transformers.spreading import FSDP_ON_CPU, NO_FSDP_ON_CPU, spread_by
from tunesmith_trainer_transformers.step_size import size_problems

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from tunesmith_trainer_transformers import Transformers

_MOST_PER_CORE = 4  # workers


def problems(options: Transformers, plan: Plan) -> list[Problem]:
    """Everything that can be said before the data and the model are there."""
    return [
        *unknown_metric(plan, options.metric_for_best_model),
        *schedule_problems(options),
        *rate_problems(options, plan),
        *name_problems(options, plan),
        *adopting_problems(options, plan),
        *_length(options),
        *size_problems(options, plan),
        *end_problems(
            plan, ("trainer.max_steps", options.max_steps), ("trainer.num_train_epochs", options.num_train_epochs)
        ),
        *_saving(options),
        *_machine(options, plan),
        *_batches(options, plan),
        *_evaluators(options, plan),
    ]


def _changed(options: Transformers, name: str) -> bool:
    """Whether an option differs from its default."""
    default = next(item.default for item in dataclasses.fields(type(options)) if item.name == name)
    return bool(getattr(options, name) != default)


def _length(options: Transformers) -> list[Problem]:
    if options.max_steps == 0:
        advice = "give more than 0, or -1 to train num_train_epochs"
        return [Problem("trainer.max_steps", "trainer.max_steps=0 trains nothing.", advice)]
    if options.max_steps > 0 and _changed(options, "num_train_epochs"):
        message = f"max_steps={options.max_steps} takes the place of num_train_epochs={options.num_train_epochs}."
        return [Problem("trainer.num_train_epochs", message, "leave one of them out", "warning")]
    return []


def _saving(options: Transformers) -> list[Problem]:
    found = []
    for interval, strategy in (("save_steps", "save_strategy"), ("eval_steps", "eval_strategy")):
        chosen = getattr(options, strategy)
        if chosen != "steps" and _changed(options, interval):
            message = f"{interval}={getattr(options, interval)} has no effect with {strategy}={chosen}."
            found.append(Problem(f"trainer.{interval}", message, f"trainer.{strategy}=steps", "warning"))
    evaluates = options.eval_strategy in ("steps", "epoch")
    if (options.load_best_model_at_end or options.save_strategy == "best") and not evaluates:
        message = f"The best model cannot be known with eval_strategy={options.eval_strategy}."
        found.append(Problem("trainer.eval_strategy", message, "trainer.eval_strategy=steps, or epoch"))
    elif options.load_best_model_at_end and options.save_strategy not in ("best", options.eval_strategy):
        message = "load_best_model_at_end needs a checkpoint at each evaluation."
        advice = f"trainer.save_strategy=best, or {options.eval_strategy}"
        found.append(Problem("trainer.save_strategy", message, advice))
    elif (
        options.load_best_model_at_end and options.save_strategy == "steps" and options.save_steps % options.eval_steps
    ):
        message = f"load_best_model_at_end: save_steps={options.save_steps} is no multiple of {options.eval_steps}."
        found.append(Problem("trainer.save_steps", message, f"trainer.save_steps={options.eval_steps}"))
    if options.lr_scheduler_type == "reduce_lr_on_plateau" and not evaluates:
        message = "reduce_lr_on_plateau follows a metric of evaluations, and eval_strategy may make none."
        found.append(Problem("trainer.eval_strategy", message, "trainer.eval_strategy=steps, or epoch"))
    return found + _stopping(options)


def _stopping(options: Transformers) -> list[Problem]:
    patience, found = options.early_stopping_patience, []
    if patience is not None and options.eval_strategy == "no":
        message = "early_stopping_patience counts evaluations, and eval_strategy=no makes none."
        found.append(Problem("trainer.eval_strategy", message, "trainer.eval_strategy=steps, or epoch"))
    if patience is None and _changed(options, "early_stopping_threshold"):
        message = "early_stopping_threshold has no effect without early_stopping_patience."
        found.append(
            Problem("trainer.early_stopping_threshold", message, "trainer.early_stopping_patience=3", "warning")
        )
    return found


def _machine(options: Transformers, plan: Plan) -> list[Problem]:
    found = []
    if plan.get("precision") == "fp16" and options.use_cpu:
        found.append(Problem("precision", "fp16 does not train on a CPU.", "precision=bf16, or fp32"))
    if options.fsdp and options.use_cpu:
        found.append(Problem("trainer.fsdp", f"{NO_FSDP_ON_CPU}, and trainer.use_cpu=true.", FSDP_ON_CPU))
    if options.fsdp and options.deepspeed:
        found.append(Problem("trainer.fsdp", "fsdp and deepspeed exclude each other.", "leave one of them out"))
    found += [*_told_by_accelerate(options), *_cut(options, plan)]
    if options.fsdp_config and not options.fsdp:
        found.append(Problem("trainer.fsdp_config", "fsdp_config has no effect without fsdp.", "", "warning"))
    return [*found, *_workers(options.dataloader_num_workers, os.cpu_count() or 1)]


def _told_by_accelerate(options: Transformers) -> list[Problem]:
    """What `accelerate launch` tells its processes of, and a run that was not told would train and save wrongly."""
    found = []
    for variable, option in (("ACCELERATE_USE_FSDP", options.fsdp), ("ACCELERATE_USE_DEEPSPEED", options.deepspeed)):
        name = variable.rpartition("_")[2].lower()
        if os.environ.get(variable, "").lower() in ("true", "1") and not option:
            message = f"{variable} is set, and trainer.{name} is not."
            advice = (
                f"parallel={name}, without accelerate launch: it starts and spreads by itself, and so under torchrun"
            )
            found.append(Problem(f"trainer.{name}", message, advice))
    return found


def _cut(options: Transformers, plan: Plan) -> list[Problem]:
    """Of a weight that is cut in pieces, only an optimizer that treats each number by itself makes the right steps."""
    if spread_by(options, plan) != "fsdp" or options.fsdp or plan.uses("optimizer") or options.optim in OF_SHARDS:
        return []
    message = f"trainer.optim={options.optim} may look at whole weights, and parallel=fsdp cuts them in pieces."
    return [Problem("trainer.optim", message, f"one of {', '.join(OF_SHARDS)}, or parallel=ddp")]


def _evaluators(options: Transformers, plan: Plan) -> list[Problem]:
    """A model that parallel=fsdp spreads can be measured; what is in an engine's hands cannot answer."""
    spread = spread_by(options, plan)
    if plan.command != "train" or not plan.uses("evaluator") or spread == "" or (spread == "fsdp" and not options.fsdp):
        return []
    by = f"trainer.{spread}" if options.fsdp or options.deepspeed else spread
    message = f"Evaluators measure a whole model, and {by} has it in pieces while it trains."
    return [Problem("evaluator", message, "parallel=fsdp, or evaluator=[] here and then: tunesmith eval RUN")]


def _workers(count: int, cores: int) -> list[Problem]:
    """Each worker is a process that holds what the run has loaded: a few per core help, hundreds take the memory."""
    if count <= cores:
        return []
    message = f"dataloader_num_workers={count}: this machine has {cores} cores."
    severity: Literal["error", "warning"] = "error" if count > _MOST_PER_CORE * cores else "warning"
    return [Problem("trainer.dataloader_num_workers", message, f"write {cores} or less", severity)]


def _batches(options: Transformers, plan: Plan) -> list[Problem]:
    """What the model's config.json tells, where it is at hand; the model itself is asked before it is trained."""
    path = plan.get("model.path")
    state = stateful_layers_of(path) if options.padding_free and isinstance(path, str) else None
    stage = plan.traits("stage")
    if state is None or plan.command != "train" or (stage is not None and stage.generates):
        return []
    message = f"The model carries a state along ({state}); batches are padded unless its kernels are told bounds."
    advice = "trainer.padding_free=false pads in any case"
    return [Problem("trainer.padding_free", message, advice, "warning")]
