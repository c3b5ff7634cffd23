"""What evaluators find out, as the metrics of a loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import TunesmithError, announce
from tunesmith.messages import logger
from tunesmith.types import Evaluated, TrainingJob
from tunesmith_library_evaluating import Evaluation, Measured
from tunesmith_library_evaluating.writing import write

from tunesmith_library_training import processes
from tunesmith_library_training.metrics import metric_name

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

    from tunesmith_library_training.outcome import Outcome

AT_START = "evaluated_at_start"  # where a checkpoint tells it


def measured(
    job: TrainingJob,
    model: Any,
    prefix: str = "eval",
    *,
    step: int | None = None,
    group: ProcessGroup | None = None,
) -> tuple[dict[str, float], dict[str, bool]]:
    """What the run's evaluators find out, and of each number whether greater is better. All processes call it.

    The first process measures and writes, and all take its numbers; a model that is spread is whole meanwhile, or
    computed in step. Random numbers that an evaluator draws are not the training's, and the model is as it was
    afterwards.

    Args:
        step: the last one, for the files under `eval/`; None writes nothing.
        group: for numbers on the CPU, see `processes.numbers_group`.
    """
    if job.evaluate is None:
        return {}, {}
    import torch
    from tunesmith_library_weights.switching import evaluating

    from tunesmith_library_training.parts import undivided
    from tunesmith_library_training.whole import pace_of

    found: list[tuple[str, Measured]] = []
    evaluations: Sequence[Evaluation] = ()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices), evaluating(model), undivided(), pace_of(model)():
        if processes.is_main():
            evaluations = job.evaluate(model)
    if processes.is_main():
        found = list(named(evaluations, prefix))
        if step is not None:
            _keep(evaluations, job.output_dir, step)
    shared = ({name: it.value for name, it in found}, {name: it.greater_is_better for name, it in found})
    numbers: tuple[dict[str, float], dict[str, bool]] = processes.gathered(shared, group)[0]
    return numbers


def named(evaluations: Iterable[Evaluation], prefix: str) -> Iterator[tuple[str, Measured]]:
    """Numbers by `PREFIX_PART_EVALUATOR_METRIC`, and where there is one part only, without it too.

    A part is a data set or a subject. A metric that is called like its evaluator is not named twice: `eval_perplexity`.
    """
    for evaluation in evaluations:
        for part, metrics in evaluation.metrics.items():
            for metric, number in metrics.items():
                name = metric_name(evaluation.name, metric)
                yield "_".join(filter(None, (prefix, part, name))), number
                if len(evaluation.metrics) == 1:
                    yield f"{prefix}_{name}", number


def _keep(evaluations: Iterable[Evaluation], folder: Path, step: int) -> None:
    """Write evaluations; a training goes on where the disk does not take them."""
    try:
        for evaluation in evaluations:
            write(evaluation, folder, step=step)
    except (OSError, TunesmithError) as error:
        logger.warning("the evaluation at step %s was not written: %s", step, error)


class AtStart:
    """What was measured before the first step, to stand beside what is measured at the end.

    Args:
        metrics: what a checkpoint has kept of it.
    """

    def __init__(self, metrics: Mapping[str, float] | None = None) -> None:
        self.metrics: dict[str, float] = dict(metrics or {})

    def hear(self, event: Evaluated) -> None:
        """Take note of an evaluation, if it is that before the first step."""
        if event.step == 0:
            self.metrics = dict(event.metrics)

    def beside(self, outcome: Outcome) -> dict[str, float]:
        """The numbers before the training of what was measured at its end, by `NAME_at_start`, which is told."""
        both = [name for name in self.metrics if name in outcome.metrics] if outcome.finished else []
        told = set[tuple[float, float]]()
        for name in sorted(both, key=len):
            before, after = self.metrics[name], outcome.metrics[name]
            if (before, after) not in told:  # the only data set's numbers have two names
                announce(name, f"{before:.4g} before the training, {after:.4g} after it", f"{after - before:+.4g}")
            told.add((before, after))
        return {f"{name}_at_start": self.metrics[name] for name in both}
