"""The training loop, on `transformers.Trainer`. Options keep its names; where a default differs, the comment says so.

The plugin is this light class; the loop itself is in `fitting` and `loop`, which import torch.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

from tunesmith import hookimpl, plugin
from tunesmith.types import Problem, TrainingJob

if TYPE_CHECKING:
    from tunesmith.planning import Plan

Scheduler = Literal[
    "linear",
    "cosine",
    "cosine_with_restarts",
    "cosine_with_min_lr",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
    "warmup_stable_decay",
    "reduce_lr_on_plateau",
]


@plugin
class Transformers:
    """Trains with transformers' Trainer: any optimizer, scheduler and distribution it knows.

    The gradient of a step is that of the mean over all trained tokens of its accumulated batch, on any number of
    processes. An interrupted run continues as if it had not been interrupted.
    """

    num_train_epochs: float = 3.0  # passes over the training data
    max_steps: int = -1  # optimizer steps; above 0 it takes the place of num_train_epochs

    per_device_train_batch_size: int = 8  # examples in a forward pass, per process
    per_device_eval_batch_size: int = 8  # examples in a forward pass of an evaluation, per process
    gradient_accumulation_steps: int = 1  # forward passes in an optimizer step
    padding_free: bool = True  # concatenate the sequences of a batch instead of padding them to one length
    train_sampling_strategy: Literal["random", "sequential"] = "random"  # order of the examples in an epoch

    # peak of the schedule; 1e-4 suits LoRA, 1e-5 to 5e-5 suit training all weights (transformers: 5e-5)
    learning_rate: float = 1e-4
    lr_scheduler_type: Scheduler = "cosine"  # course of the learning rate (transformers: linear)
    lr_scheduler_kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)  # e.g. {min_lr_rate: 0.1}
    warmup_ratio: float = 0.03  # share of all steps in which the learning rate rises from 0 (transformers: 0)
    warmup_steps: int | None = None  # steps in which the learning rate rises; takes the place of warmup_ratio

    optim: str = "adamw_torch_fused"  # transformers' name of an optimizer; an optimizer plugin takes its place
    optim_args: str | None = None  # further arguments of that optimizer, "rank=64,scale=0.25"
    optim_target_modules: list[str] = dataclasses.field(default_factory=list)  # modules that GaLore or APOLLO project
    weight_decay: float = 0.0  # decoupled weight decay; biases and norms have none
    adam_beta1: float = 0.9  # decay of the mean of the gradient
    adam_beta2: float = 0.999  # decay of the mean of the squared gradient
    adam_epsilon: float = 1e-8  # added to the root of the squared gradient
    max_grad_norm: float = 1.0  # longest gradient (2-norm over all trained weights); 0 does not clip

    logging_steps: int = 10  # optimizer steps from one logged step to the next (transformers: 500)
    logging_first_step: bool = True  # log step 1 too (transformers: false)

    save_strategy: Literal["no", "steps", "epoch", "best"] = "steps"  # when to write a checkpoint to resume from
    save_steps: int = 500  # optimizer steps from one checkpoint to the next, with save_strategy steps
    save_total_limit: int | None = 2  # newest checkpoints to keep, besides the best; null (transformers) keeps all

    # when to evaluate; auto is epoch when there is evaluation data, else no (transformers: no)
    eval_strategy: Literal["auto", "no", "steps", "epoch"] = "auto"
    eval_steps: int = 500  # optimizer steps from one evaluation to the next, with eval_strategy steps
    eval_on_start: bool = False  # evaluate before the first step too

    load_best_model_at_end: bool = False  # save the best checkpoint's weights as the result, not the last step's
    metric_for_best_model: str | None = None  # what is best; null is the (first) evaluation loss
    greater_is_better: bool | None = None  # of that metric; null is false for a loss, else true
    early_stopping_patience: int | None = None  # evaluations in a row without a better metric that end the training
    early_stopping_threshold: float = 0.0  # by how much a metric must be better than the best so far to count

    gradient_checkpointing: bool = False  # compute activations again in the backward pass: less memory, 30 % slower
    torch_compile: bool = False  # compile the model with torch.compile; the first steps take minutes
    dataloader_num_workers: int = 0  # processes that make batches; 0 makes them in the training process
    use_cpu: bool = False  # train on the CPU although there is a GPU

    fsdp: str | None = None  # transformers' fsdp argument, "full_shard auto_wrap"; needs torchrun
    fsdp_config: dict[str, Any] = dataclasses.field(default_factory=dict)  # transformers' fsdp_config argument
    deepspeed: str | None = None  # path of a DeepSpeed configuration (JSON); needs torchrun or deepspeed
    ddp_find_unused_parameters: bool | None = False  # true for models of which a step may leave trained weights unused

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        from .checks import problems

        return problems(self, plan)

    @hookimpl
    def fit(self, job: TrainingJob) -> bool:
        from .fitting import fit

        return fit(self, job)
