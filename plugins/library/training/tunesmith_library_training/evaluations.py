"""What evaluators find out, as the metrics of a loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tunesmith.types import TrainingJob
from tunesmith_library_evaluating import Evaluation, Measured

from tunesmith_library_training import processes

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


def measured(
    job: TrainingJob,
    model: Any,
    prefix: str = "eval",
    *,
    group: ProcessGroup | None = None,
) -> tuple[dict[str, float], dict[str, bool]]:
    """What the run's evaluators find out, and of each number whether greater is better. All processes call it.

    The first process measures, and all take its numbers. Random numbers that an evaluator draws are not the training's,
    and the model is as it was afterwards.

    Args:
        group: for numbers on the CPU, see `processes.numbers_group`.
    """
    if job.evaluate is None:
        return {}, {}
    import torch
    from tunesmith_library_weights.switching import evaluating

    found: list[tuple[str, Measured]] = []
    if processes.is_main():
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() and torch.cuda.is_initialized() else []
        with torch.random.fork_rng(devices), evaluating(model):
            found = list(named(job.evaluate(model), prefix))
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
                name = evaluation.name if metric == evaluation.name else f"{evaluation.name}_{metric}"
                yield "_".join(filter(None, (prefix, part, name))), number
                if len(evaluation.metrics) == 1:
                    yield f"{prefix}_{name}", number
