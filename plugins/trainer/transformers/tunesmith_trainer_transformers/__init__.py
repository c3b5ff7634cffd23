"""The training loop, on `transformers.Trainer`. Options keep its names; where a default differs, the comment says so.

The plugin is this light class; the loop itself is in `fitting` and `loop`, which import torch.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import Range, above, at_least, filled, path_like
from tunesmith.traits import TrainerTraits
from tunesmith.types import ModelSource, Problem, TrainingJob
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_training.metrics import Declared

from tunesmith_trainer_transformers.additive import not_additive
from tunesmith_trainer_transformers.beside import Beside
from tunesmith_trainer_transformers.spreading import spread_by

if TYPE_CHECKING:
    from transformers import TrainingArguments
    from tunesmith.planning import Plan

Scheduler = Literal[
    "linear",
    "cosine",
    "cosine_with_restarts",
    "cosine_with_min_lr",
    "cosine_warmup_with_min_lr",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
    "warmup_stable_decay",
    "reduce_lr_on_plateau",
]

Share = Annotated[float, Range(0, 1, high_excluded=True)]


@plugin
class Transformers:
    """Trains with transformers' Trainer: any optimizer, scheduler and distribution it knows.

    The gradient of a step is that of the mean over all trained tokens of its accumulated batch, on any number of
    processes. An interrupted run continues as if it had not been interrupted.
    """

    num_train_epochs: Annotated[float, above(0, most=1_000_000)] = 3.0  # passes over the training data
    # optimizer steps in place of num_train_epochs; -1 leaves it to them
    max_steps: Annotated[int, at_least(-1, most=1_000_000_000)] = -1

    # examples in a forward pass, per process; auto: of the step's as many as fit at the longest ones, tried first
    per_device_train_batch_size: Annotated[int, at_least(1, most=1_000_000)] | Literal["auto"] = 8
    # examples in a forward pass of an evaluation, per process; auto: as many as fit
    per_device_eval_batch_size: Annotated[int, at_least(1, most=1_000_000)] | Literal["auto"] = 8
    # examples in an optimizer step, of all processes, from which gradient_accumulation_steps is found; null: as many as
    # the other options say, and with auto 8 for each process and accumulated pass
    global_batch_size: Annotated[int, at_least(1, most=1_000_000_000)] | None = None
    # forward passes in an optimizer step
    gradient_accumulation_steps: Annotated[int, at_least(1, most=1_000_000_000)] = 1
    # run the forward passes of a step as few larger ones where that is exact: the same sums, in larger products; false
    # runs each by itself
    merge_accumulation: bool | Literal["auto"] = "auto"
    padding_free: bool = True  # concatenate the sequences of a batch instead of padding them to one length
    train_sampling_strategy: Literal["random", "sequential"] = "random"  # order of the examples in an epoch

    # peak of the schedule; 1e-4 suits LoRA, 1e-5 to 5e-5 suit training all weights (transformers: 5e-5)
    learning_rate: Annotated[float, above(0, most=100)] = 1e-4
    # peaks for parts of a model that also sees or hears: {vision: 2e-6, projector: 1e-5}; the others have learning_rate
    learning_rates: dict[str, Annotated[float, above(0, most=100)]] = {}
    lr_scheduler_type: Scheduler = "cosine"  # course of the learning rate (transformers: linear)
    lr_scheduler_kwargs: dict[str, Any] = {}  # e.g. {min_lr_rate: 0.1}
    warmup_ratio: Share = 0.03  # share of all steps in which the learning rate rises from 0 (transformers: 0)
    # steps in which the learning rate rises; takes the place of warmup_ratio
    warmup_steps: Annotated[int, at_least(0, most=1_000_000_000)] | None = None

    # transformers' name of an optimizer; an optimizer plugin takes its place
    optim: Annotated[str, filled] = "adamw_torch_fused"
    optim_args: str | None = None  # further arguments of that optimizer, "rank=64,scale=0.25"
    optim_target_modules: list[str] = []  # modules that GaLore or APOLLO project
    weight_decay: Annotated[float, at_least(0, most=10)] = 0.0  # decoupled weight decay; biases and norms have none
    adam_beta1: Share = 0.9  # decay of the mean of the gradient
    adam_beta2: Share = 0.999  # decay of the mean of the squared gradient
    adam_epsilon: Annotated[float, above(0, most=1)] = 1e-8  # added to the root of the squared gradient
    # longest gradient (2-norm over all trained weights); 0 does not clip
    max_grad_norm: Annotated[float, at_least(0, most=1_000_000)] = 1.0

    # optimizer steps from one logged step to the next (transformers: 500)
    logging_steps: Annotated[int, at_least(1, most=1_000_000_000)] = 10
    logging_first_step: bool = True  # log step 1 too (transformers: false)

    save_strategy: Literal["no", "steps", "epoch", "best"] = "steps"  # when to write a checkpoint to resume from
    # optimizer steps from one checkpoint to the next, with save_strategy steps
    save_steps: Annotated[int, at_least(1, most=1_000_000_000)] = 500
    # newest checkpoints to keep, besides the best; null (transformers) keeps all
    save_total_limit: Annotated[int, at_least(1, most=1_000_000)] | None = 2

    # when to evaluate; auto is epoch when there is evaluation data, else no (transformers: no)
    eval_strategy: Literal["auto", "no", "steps", "epoch"] = "auto"
    # optimizer steps from one evaluation to the next, with eval_strategy steps
    eval_steps: Annotated[int, at_least(1, most=1_000_000_000)] = 500
    eval_on_start: bool = False  # evaluate before the first step too

    load_best_model_at_end: bool = False  # save the best checkpoint's weights as the result, not the last step's
    metric_for_best_model: Annotated[str | None, filled] = None  # what is best; null is the (first) loss, or reward
    greater_is_better: bool | None = None  # of that metric; null is as the stage or the evaluator says
    # evaluations in a row without a better metric that end the training
    early_stopping_patience: Annotated[int, at_least(1, most=1_000_000)] | None = None
    # by how much a metric must be better than the best so far to count
    early_stopping_threshold: Annotated[float, at_least(0, most=1_000_000)] = 0.0

    # compute activations again in the backward pass: less memory, 30 % slower, the same numbers; auto: where they would
    # not fit; offload also keeps the inputs of the layers, from which they are computed, in the host's memory
    gradient_checkpointing: bool | Literal["auto", "offload"] = "auto"
    # checkpoint-N of another program that trains with transformers' Trainer: a new run begins after its steps, with its
    # weights, optimizer and schedule
    resume_from: Annotated[str | None, path_like] = None
    torch_compile: bool = False  # compile the model's layers with torch.compile; the first steps take minutes
    # backend of torch.compile; inductor needs Triton on a GPU, and a C++ compiler on a CPU
    torch_compile_backend: Annotated[str, filled] = "inductor"
    # processes that make batches; 0 makes them in the training process
    dataloader_num_workers: Annotated[int, at_least(0, most=1_024)] = 0
    use_cpu: bool = False  # train on the CPU although there is a GPU

    fsdp: str | None = None  # transformers' fsdp argument, "full_shard auto_wrap"; needs torchrun
    fsdp_config: dict[str, Any] = {}  # transformers' fsdp_config argument
    # path of a DeepSpeed configuration (JSON); needs torchrun or deepspeed
    deepspeed: Annotated[str | None, path_like] = None
    ddp_find_unused_parameters: bool | None = False  # true for models of which a step may leave trained weights unused

    known_as: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("epochs", "num_epochs", "n_epochs", "num_train_epoch"), "num_train_epochs"),
        **{"steps": "max_steps", "num_steps": "max_steps", "max_train_steps": "max_steps", "lr": "learning_rate"},
        **dict.fromkeys(("batch_size", "micro_batch_size", "train_batch_size"), "per_device_train_batch_size"),
        **{"eval_batch_size": "per_device_eval_batch_size", "evaluation_strategy": "eval_strategy"},
        **dict.fromkeys(("gradient_accumulation", "grad_accum", "accumulation_steps"), "gradient_accumulation_steps"),
        **{"scheduler": "lr_scheduler_type", "lr_scheduler": "lr_scheduler_type", "warmup": "warmup_steps"},
        **{
            "activation_checkpointing": "gradient_checkpointing",
            "use_gradient_checkpointing": "gradient_checkpointing",
        },
        **{"gradient_clipping": "max_grad_norm", "compile": "torch_compile"},
    }
    # fmt: off
    changeable: ClassVar[tuple[str, ...]] = (
        "num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps",
        "per_device_eval_batch_size", "global_batch_size", "merge_accumulation", "padding_free",
        "learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_ratio", "warmup_steps", "weight_decay",
        "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm", "logging_steps", "logging_first_step",
        "save_strategy", "save_steps", "save_total_limit", "eval_strategy", "eval_steps", "eval_on_start",
        "load_best_model_at_end", "early_stopping_patience", "early_stopping_threshold", "gradient_checkpointing",
        "torch_compile", "torch_compile_backend", "dataloader_num_workers", "use_cpu", "ddp_find_unused_parameters",
    )
    # fmt: on
    traits: ClassVar[TrainerTraits] = TrainerTraits(training_arguments=True)

    _declared: Declared = field(default_factory=Declared)  # the metrics of the run's evaluations
    _not_additive: str = "the stage is not known"  # why examples may have another loss in a batch with others
    _examples: int = 0  # of a step, of all processes; 0: as many as micro-batches and their number say
    _beside: Beside = field(default_factory=Beside)  # what the other plugins need beside the loop
    _spread: str = ""  # what spreads the weights over processes: fsdp, deepspeed
    _of_parallel: dict[str, Any] = field(default_factory=dict)  # arguments that the launcher's plugin asks for

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        from .checks import problems

        return problems(self, plan)

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._declared = Declared.of(plan)
        self._not_additive = not_additive(plan)
        self._beside = Beside.of(plan)
        self._spread = spread_by(self, plan)
        self._of_parallel = dict(getattr(plan.traits("parallel"), "arguments", {}))

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from .estimating import estimate_training

        return estimate_training(self, estimate, plan)

    @hookimpl(wrapper=True)
    def load_model(self, source: ModelSource) -> Generator[None, Any, Any]:
        if source.training:  # what the loop imports takes memory too, which is then there before the weights are
            from . import fitting  # noqa: F401
        return (yield)

    @hookimpl
    def fit(self, job: TrainingJob) -> bool:
        from .fitting import fit

        return fit(self, job)

    def training_arguments(self, job: TrainingJob, **changed: Any) -> TrainingArguments:
        """These options as transformers' TrainingArguments, for a stage whose loop is another transformers Trainer.

        Args:
            job: its folder, seed, precision and evaluation data count.
            changed: arguments that the stage sets itself, over these options.

        Raises: TunesmithError when transformers refuses them.
        """
        from .arguments import training_arguments

        return training_arguments(self, job, **changed)
