"""Training to the end: what every loop does around its steps.

The trackers hear that a run has ended, whatever happens; the first Ctrl-C lets the loop finish its step and save;
checkpoints count once they are whole; the result is written as a whole or not at all.

A loop is a function that is given a `Run` and returns an `Outcome`:

    def fit(self, job):
        return train_to_end(job, self._train)
"""

from __future__ import annotations

import contextlib
import functools
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel
from tunesmith import TunesmithError
from tunesmith.errors import DataError
from tunesmith.messages import logger
from tunesmith.types import Evaluated, Event, RunEnded, RunStarted, Saved, StepEnded, TrainingJob
from tunesmith_library_configuration import manifests, space
from tunesmith_library_configuration.records import MARKER, PRECISION
from tunesmith_library_weights.cut import size_of

from tunesmith_library_training import bad_data, checkpoints, processes, remembering
from tunesmith_library_training.counts import COUNTS, Counts
from tunesmith_library_training.evaluations import AT_START, AtStart
from tunesmith_library_training.finite import Guard, NonFinite
from tunesmith_library_training.gradients import Gradients
from tunesmith_library_training.interruption import Interruption
from tunesmith_library_training.outcome import Outcome as Outcome
from tunesmith_library_training.saving import save
from tunesmith_library_training.shares import ORDER, Order
from tunesmith_library_training.streams import STATE, Progress
from tunesmith_library_training.writing import Writing


class Run:
    """A training while it goes on: its events, its interruption, its checkpoints, and the guard of its numbers.

    Every process has one.
    """

    def __init__(self, job: TrainingJob) -> None:
        self.job = job
        self.interruption = Interruption()
        self.guard = Guard(job)
        self.gradients = Gradients()
        self.resumed: Path | None = None  # the checkpoint that it goes on from
        self.step = 0  # the last one that was told
        self.bad_data = ""  # what is wrong with the data, once they cannot be read on
        self.progress: Progress | None = None  # in training data that are read in shares
        self.order: Order | None = None  # of data that are counted, where any number of processes makes the same steps
        self.counts = Counts()  # of what was trained on
        self.at_start = AtStart()  # what was measured before the first step
        self.made_of = dict(job.made_of)
        self.writing = Writing()  # of a checkpoint, while training goes on

    def emit(self, event: Event) -> None:
        """Tell the trackers, which live on the main process."""
        match event:
            case RunStarted(resumed_from=step) | StepEnded(step=step):
                self.step = step
            case Evaluated():
                self.at_start.hear(event)
        if processes.is_main():
            self.job.emit(event)

    def end_of_data(self, wrong: str, step: int) -> None:
        """Note that the data cannot be read on; the next checkpoint takes mended ones. All processes call it.

        Args:
            wrong: with what this process read; empty when that was right.
            step: the last one that was made.

        Raises: DataError when there is no step to keep.
        """
        self.bad_data = next(filter(None, processes.gathered(wrong)), "")
        if not step:
            raise DataError(self.bad_data)
        self.made_of.pop("data", None)

    def newest_checkpoint(self, facts: Mapping[str, Any]) -> Path | None:
        """The checkpoint that the run goes on from, the same on all processes; None for a start from scratch.

        What a killed run left of a checkpoint is deleted, and one that is damaged set aside. All processes call it.

        Args:
            facts: what decides which examples a step sees, as given to `keep_checkpoint`.

        Raises: TunesmithError when there are checkpoints and none of them is whole.
        """
        if not self.job.resume:
            return None
        found: Path | TunesmithError | None = None
        if processes.is_main():
            try:
                found = checkpoints.newest(self.job.output_dir, facts)
                checkpoints.discard_incomplete(self.job.output_dir)
            except TunesmithError as error:
                found = error
        found = processes.gathered(found)[0]
        if isinstance(found, TunesmithError):
            raise found
        self.resumed = found
        if found is not None:
            told = manifests.told(found, MARKER)
            self.counts, self.at_start = Counts(told.get(COUNTS)), AtStart(told.get(AT_START))
            remembering.restore(self.job.model, found)
        return found

    def keep_checkpoint(
        self,
        step: int,
        facts: Mapping[str, Any],
        save_total_limit: int | None,
        best: str | None = None,
        write: Callable[[Path], None] | None = None,
        parts: Callable[[Path], Callable[[], None]] | None = None,
        later: bool = False,
    ) -> bool:
        """Make `checkpoint-STEP` a whole one, and delete older ones.

        All processes call it. Where the disk does not take it, that is told, those before are kept, and the run may go
        on.

        Args:
            save_total_limit: how many to keep, the newest; None keeps all.
            best: a checkpoint that is kept in any case.
            write: writes its files into a folder, on the main process; None when all processes have written their part
                into its place themselves.
            parts: begins to write into its place what each process writes itself, and gives what waits for the end.
            later: write while training goes on; `writing` tells of it.

        Returns: whether it was made, or begun.
        """
        self.writing.settle()
        folder = self.job.output_dir / f"checkpoint-{step}"
        processes.wait()
        told: dict[str, Any] = {"facts": dict(facts), "made_of": self.made_of, COUNTS: self.counts.totals()}
        told |= {AT_START: self.at_start.metrics, PRECISION: self.job.precision}
        told |= remembering.kept(self.job.model)
        if self.progress is not None:
            told[STATE] = self.progress.gathered()
        if self.order is not None:
            told[ORDER] = self.order.told(step)
        finish = None if parts is None else parts(folder)
        make = functools.partial(self._make_checkpoint, folder, told, write, finish)

        def made() -> bool:
            if not processes.is_main():
                if finish is not None:
                    with contextlib.suppress(Exception):  # the main process has it, too, and tells it
                        finish()
                return True
            done = make()
            if done:
                checkpoints.rotate(self.job.output_dir, save_total_limit, best)
            return done

        def tell() -> None:
            self.emit(Saved(step, folder))

        if later:
            self.writing.begin(made, tell)
            return True
        if all(processes.gathered(made())):
            tell()
            return True
        return False

    def _make_checkpoint(
        self,
        folder: Path,
        told: Mapping[str, Any],
        write: Callable[[Path], None] | None,
        finish: Callable[[], None] | None,
    ) -> bool:
        """Whether the disk took a checkpoint.

        Args:
            finish: waits for what all processes write into its place.
        """
        in_place = write is None or finish is not None
        try:
            if write is None or finish is not None:
                checkpoints.write_in_place(folder, told, write, finish)
            else:
                checkpoints.write(folder, told, write)
        except Exception as error:
            if not (isinstance(error, OSError) or space.is_of_disk(error)):
                raise
            if in_place:
                shutil.rmtree(folder, ignore_errors=True)
            reason = space.shortage(error, folder.parent, checkpoint_size(self.job.model))
            kept = checkpoints.complete(folder.parent)
            last = f"{kept[-1].name} is kept" if kept else "there is none before it"
            logger.warning("%s was not written, and the run goes on: %s; %s", folder, reason, last)
            return False
        return True


def train_to_end(job: TrainingJob, train: Callable[[Run], Outcome]) -> bool:
    """Train and save the result.

    Args:
        train: makes the steps; its `RunStarted` and `StepEnded` are its own.

    Returns: whether training reached its end; False when it was interrupted and can be resumed.
    Raises: NonFinite when its numbers are not finite any more, and nothing of it was saved; BadData when its data
        cannot be read on, and a checkpoint holds the steps before.
    """
    run = Run(job)
    if processes.is_main():
        space.warn_of_little(job.output_dir, 2 * checkpoint_size(job.model), "two checkpoints take")
    use_cache = getattr(getattr(job.model, "config", None), "use_cache", None)
    try:
        with run.interruption, _own_names(job.model):
            outcome = _drawn(run, train)
            run.writing.settle()
        if outcome.finished:
            run.guard.check(job.model if outcome.model is None else outcome.model)
            if use_cache is not None:  # loops turn it off, and the result is saved with its configuration
                job.model.config.use_cache = use_cache
            save(job, outcome)
            run.emit(Saved(outcome.step, job.output_dir))
    except BaseException as error:
        by_hand = isinstance(error, KeyboardInterrupt) and not isinstance(error, NonFinite | bad_data.BadData)
        run.emit(RunEnded("interrupted" if by_hand else "failed"))
        raise
    metrics = {**outcome.metrics, **run.at_start.beside(outcome)}
    run.emit(RunEnded("finished" if outcome.finished else "interrupted", metrics))
    return outcome.finished


def _drawn(run: Run, train: Callable[[Run], Outcome]) -> Outcome:
    """Train; a model that can draw no token, for its logits are not finite, ends the run as a loss would."""
    try:
        outcome = train(run)
        if run.bad_data:
            raise bad_data.ended(run.job.output_dir, run.bad_data)
        return outcome
    except RuntimeError as error:
        if "probability tensor contains either" not in str(error):
            raise
        raise run.guard.ended("no token can be drawn, for the model's logits are not finite", run.step + 1) from error


@contextlib.contextmanager
def _own_names(model: Any) -> Iterator[None]:
    """Let checkpoints hold a whole model's weights under the names that they have in it.

    They are loaded into it by these names; those of the base's files, in which experts are many tensors, would fit
    none, and be passed over.
    """
    whole = isinstance(model, PreTrainedModel) and getattr(model, "hf_quantizer", None) is None
    if whole:
        model.save_pretrained = functools.partial(model.save_pretrained, save_original_format=False)
    try:
        yield
    finally:
        if whole:
            del model.save_pretrained


def checkpoint_size(model: Any) -> int:
    """About how many bytes a checkpoint takes: what is trained, and two states of an optimizer for each weight."""
    weights: Iterable[Any] = getattr(model, "parameters", list)()
    return sum(size_of(weight) * (weight.element_size() + 8) for weight in weights if weight.requires_grad)


def refuse_no_data(job: TrainingJob, item: str) -> None:
    """Raise a TunesmithError when nothing of a data set of known size is left to train on.

    Args:
        item: what the data set is made of: `example`, `prompt`.
    """
    if hasattr(job.data.train, "__len__") and not len(job.data.train):
        raise TunesmithError(f"There is no training data: no {item} was left after encoding.")
