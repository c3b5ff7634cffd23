"""A run from its job to the saved result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import TunesmithError, announce
from tunesmith.types import TrainingJob
from tunesmith_library_publishing.inventory import tensors_of
from tunesmith_library_training import processes
from tunesmith_library_training.compiling import compile_layers
from tunesmith_library_training.envelope import Outcome, Run, refuse_no_data, train_to_end
from tunesmith_library_training.isolation import carries_state, takes_concatenated
from tunesmith_library_training.metrics import settle_best
from tunesmith_library_training.reporting import Reporter, checkpoint_of
from tunesmith_library_training.states import random_state_of_share, set_random_state
from tunesmith_library_training.stopping import EarlyStopping
from tunesmith_library_training.watching import has_single_experts, text_leaves_out

from tunesmith_trainer_transformers.adopting import adopted
from tunesmith_trainer_transformers.arguments import Arguments, training_arguments
from tunesmith_trainer_transformers.asked import AsAsked
from tunesmith_trainer_transformers.batches import Collator
from tunesmith_trainer_transformers.budget import merged_tokens
from tunesmith_trainer_transformers.loop import Loop
from tunesmith_trainer_transformers.memory import room_of
from tunesmith_trainer_transformers.shortage import ended, is_shortage
from tunesmith_trainer_transformers.sizing import settled
from tunesmith_trainer_transformers.spreading import is_spread
from tunesmith_trainer_transformers.step_size import is_open
from tunesmith_trainer_transformers.steps import accumulation_of, order_of, progress_of, stands_for
from tunesmith_trainer_transformers.trial import worst_of

if TYPE_CHECKING:
    from tunesmith_trainer_transformers import Transformers


def fit(options: Transformers, job: TrainingJob) -> bool:
    """Train and save; gives whether training reached its end."""

    def train(run: Run) -> Outcome:
        return _train(options, run)

    return train_to_end(job, train)


def _train(options: Transformers, run: Run) -> Outcome:
    """Train until the end or an interruption."""
    job = run.job
    _refuse_missing_data(options, job)
    options, opened = settled(options, job, stands_for()), is_open(options)
    sharded = is_spread(options)
    arguments, checkpoint = _begun(options, run)
    _look_for_unused(arguments, job.model, sharded)
    collator = Collator(job.collate, options.padding_free)
    loop = Loop(
        run,
        arguments,
        collator=collator,
        sharded=sharded,
        learning_rates=options.learning_rates,
        not_additive=options._not_additive,
    )
    sets = {name: examples for name, examples in job.data.eval.items() if len(examples)}
    if arguments.metric_for_best_model and sets:
        greater = options.greater_is_better
        settle_best(arguments, sets, options._declared, greater_is_better=greater, look=loop.directions)
    loop.add_callback(AsAsked(loop, options._spread))
    reporter = Reporter(run, loop, options.save_total_limit, loop.must_stop)
    loop.add_callback(reporter)
    if options.early_stopping_patience is not None:
        loop.add_callback(EarlyStopping(options.early_stopping_patience, options.early_stopping_threshold))
    if options.padding_free:
        loop.collator.padding_free = _stays_padding_free(loop, job.model, sharded)
    budget = _merge(options, loop)
    if not sharded:
        there, again = room_of(arguments.device.type), _computes_again(arguments)
        loop.worst = worst_of(options, job, there=there, recomputes=again, budget=budget, always=opened)
    checkpoint = checkpoint or adopted(options, run, loop)
    _refuse_other_names(job.model, checkpoint)
    if options.torch_compile:
        compile_layers(job.model, options.torch_compile_backend)
    if arguments.device.type != "cpu" and not (sharded or options.dataloader_num_workers):
        announce("batches of the next step", "made by a thread meanwhile", "the GPU does not wait for them")
        loop.ahead.begin()
    try:
        loop.train(resume_from_checkpoint=checkpoint)
    except (RuntimeError, MemoryError) as error:
        if not is_shortage(error):
            raise
        why = "it was between the passes of a step: in the optimizer, an evaluation or a checkpoint"
        raise ended(job.output_dir, error, why) from error
    finally:
        loop.ahead.end()
    return loop.outcome(finished=not reporter.stopped)


def _begun(options: Transformers, run: Run) -> tuple[Arguments, str | None]:
    """The arguments of a run from where it begins, and its checkpoint, if it goes on from one."""
    # compiled is here what repeats, layer by layer; transformers would compile the whole model
    own: dict[str, Any] = {"torch_compile": False, "torch_compile_backend": None}
    arguments = training_arguments(options, run.job, **own)
    checkpoint = checkpoint_of(run, arguments, ordered=True)
    run.order, run.progress = order_of(options, run), progress_of(options, run)
    passes = accumulation_of(options, run)
    if passes != arguments.gradient_accumulation_steps and arguments.deepspeed:  # whose configuration has it too
        arguments = training_arguments(options, run.job, **own, gradient_accumulation_steps=passes)
    arguments.gradient_accumulation_steps = passes
    arguments.ignore_data_skip = run.progress is not None  # which goes on by itself
    if run.resumed is None and processes.share():
        set_random_state(random_state_of_share(run.job.seed, 0))
    return arguments, checkpoint


def _refuse_missing_data(options: Transformers, job: TrainingJob) -> None:
    refuse_no_data(job, "example")
    if job.evaluate is not None and not job.data.eval:
        announce("evaluators", "not asked during training", "there is no evaluation data")
    if not hasattr(job.data.train, "__len__") and options.max_steps <= 0:
        raise TunesmithError("The training data is a stream without end.\n  write trainer.max_steps=1000")
    if job.data.eval:
        return
    if options.eval_strategy in ("steps", "epoch"):
        raise TunesmithError(
            f"trainer.eval_strategy={options.eval_strategy} needs evaluation data, and there is none.\n"
            "  hold some out with data.val_size=0.05, or use trainer.eval_strategy=auto"
        )
    if options.early_stopping_patience is not None:
        raise TunesmithError(
            "trainer.early_stopping_patience needs evaluation data, and there is none.\n"
            "  hold some out with data.val_size=0.05"
        )


def _look_for_unused(arguments: Any, model: Any, sharded: bool) -> None:
    """Several processes wait for a gradient of each trained weight, which not every batch gives."""
    if processes.count() == 1 or sharded or arguments.ddp_find_unused_parameters:
        return
    left_out = "weights are trained that text alone does not reach" if text_leaves_out(model) else ""
    left_out = left_out or ("experts are trained that a batch may leave out" if has_single_experts(model) else "")
    if left_out:
        arguments.ddp_find_unused_parameters = True
        announce("unused weights", "looked for in each step", left_out)


def _stays_padding_free(loop: Loop, model: Any, sharded: bool) -> bool:
    """Whether this model keeps the sequences of a concatenated batch apart; one that is spread cannot be asked."""
    if sharded:
        state = carries_state(model)
        if state:
            announce("batches", "padded", f"{state}, in a model that is spread over processes")
        return state is None
    with loop.compute_loss_context_manager():
        return takes_concatenated(model)


def _computes_again(arguments: Arguments) -> bool:
    again = ("activation_checkpointing", "gradient_checkpointing")  # its names in newer and older transformers
    return any(getattr(arguments, name, False) for name in again)


def _merge(options: Transformers, loop: Loop) -> int | None:
    """Have micro-batches merged where that is exact; gives the tokens of a merged one, at most."""
    tokens = merged_tokens(
        options,
        loop.job,
        padding_free=loop.collator.padding_free,
        device=loop.args.device.type,
        recomputes=_computes_again(loop.args),
    )
    if tokens is not None:
        loop.merge(tokens)
    return tokens


def _refuse_other_names(model: Any, checkpoint: str | None) -> None:
    """Raise for a whole model's checkpoint with names that the model does not have: they would be passed over.

    Earlier versions wrote them as the base's files name them, where each expert is a tensor of its own.
    """
    if checkpoint is None or not (Path(checkpoint) / "config.json").is_file():
        return
    own = model.state_dict().keys()
    strange = [name for name in tensors_of(Path(checkpoint)) if name not in own]
    if strange:
        raise TunesmithError(
            f"{checkpoint} holds {len(strange)} weights under names that the loaded {type(model).__name__} does not "
            f"have, such as {strange[0]}.\n  it cannot be resumed; train on from its weights: model.path={checkpoint}"
        )
