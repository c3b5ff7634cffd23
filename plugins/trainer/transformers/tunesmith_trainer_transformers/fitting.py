"""A run from its job to the saved result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tunesmith import TunesmithError
from tunesmith.files import filling
from tunesmith.runs import is_main_process
from tunesmith.types import Event, RunEnded, Saved, TrainingJob
from tunesmith_library_training.isolation import TOLERANCE, isolates_sequences

from tunesmith_trainer_transformers import checkpoints
from tunesmith_trainer_transformers.arguments import is_sharded, training_arguments
from tunesmith_trainer_transformers.batches import Collator
from tunesmith_trainer_transformers.interruption import Interruption
from tunesmith_trainer_transformers.loop import Loop
from tunesmith_trainer_transformers.reporting import Reporter, order_of_data
from tunesmith_trainer_transformers.stopping import EarlyStopping

if TYPE_CHECKING:
    from tunesmith_trainer_transformers import Transformers


def fit(options: Transformers, job: TrainingJob) -> bool:
    """Train and save; whatever happens, the trackers hear that the run has ended."""
    emit: Callable[[Event], None] = job.emit if is_main_process() else lambda event: None
    try:
        finished, metrics = _train(options, job, emit)
    except BaseException as error:
        emit(RunEnded("interrupted" if isinstance(error, KeyboardInterrupt) else "failed"))
        raise
    emit(RunEnded("finished" if finished else "interrupted", metrics))
    return finished


def _train(options: Transformers, job: TrainingJob, emit: Callable[[Event], None]) -> tuple[bool, dict[str, float]]:
    """Train until the end or an interruption, and save the result at the end."""
    _refuse_missing_data(options, job)
    use_cache = getattr(getattr(job.model, "config", None), "use_cache", None)
    collator = Collator(job.collate, options.padding_free)
    sharded = is_sharded(options)
    with Interruption() as interruption:
        loop = Loop(
            job,
            training_arguments(options, job),
            collator=collator,
            sharded=sharded,
            emit=emit,
            interruption=interruption,
        )
        loop.add_callback(Reporter(loop, options.save_total_limit))
        if options.early_stopping_patience is not None:
            loop.add_callback(EarlyStopping(options.early_stopping_patience, options.early_stopping_threshold))
        if options.padding_free and not sharded:
            with loop.compute_loss_context_manager():
                _refuse_leaks(job.model)
        loop.train(resume_from_checkpoint=_checkpoint(loop) if job.resume else None)
    if loop.stop:
        return False, loop.summary()
    if use_cache is not None:  # the Trainer turned it off, and the result is saved with its configuration
        job.model.config.use_cache = use_cache
    _save(loop, job)
    emit(Saved(loop.state.global_step, job.output_dir))
    return True, loop.summary()


def _checkpoint(loop: Loop) -> str | None:
    """The checkpoint to resume from, the same on all processes."""
    found = checkpoints.newest(loop.job.output_dir, order_of_data(loop))
    loop.accelerator.wait_for_everyone()
    if is_main_process():
        checkpoints.discard_incomplete(loop.job.output_dir)
    loop.accelerator.wait_for_everyone()
    return str(found) if found else None


def _save(loop: Loop, job: TrainingJob) -> None:
    """Write the adapter or the whole model, and the processor, into the run's folder; never half of them."""
    if callable(getattr(loop.optimizer, "eval", None)):  # schedule-free optimizers keep two sets of weights
        loop.optimizer.eval()
    model: Any = job.model
    options: dict[str, Any] = {}
    if loop.sharded:
        options["state_dict"] = loop.accelerator.get_state_dict(loop.model_wrapped)  # gathers, on every process
        model = loop.accelerator.unwrap_model(loop.model_wrapped)
    if is_main_process():
        with filling(job.output_dir, last=("adapter_config.json", "config.json")) as draft:
            job.processor.save_pretrained(draft)
            model.save_pretrained(draft, **options)
    loop.accelerator.wait_for_everyone()


def _refuse_missing_data(options: Transformers, job: TrainingJob) -> None:
    if not hasattr(job.data.train, "__len__"):
        if options.max_steps <= 0:
            raise TunesmithError("The training data is a stream without end.\n  write trainer.max_steps=1000")
    elif not len(job.data.train):
        raise TunesmithError("There is no training data: no example was left after encoding.")
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


def _refuse_leaks(model: Any) -> None:
    """Raise when this model lets one sequence of a concatenated batch see another."""
    leak = isolates_sequences(model)
    if not leak <= TOLERANCE:
        raise TunesmithError(
            f"{type(model).__name__} lets the sequences of a concatenated batch see each other "
            f"(by {leak:.0e}).\n  pad the batches instead: trainer.padding_free=false"
        )
