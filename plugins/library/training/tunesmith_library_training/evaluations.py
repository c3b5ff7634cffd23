"""What evaluators find out, as the metrics of a loop."""

from __future__ import annotations

from collections.abc import Iterable

from tunesmith_library_evaluating import Evaluation


def as_metrics(evaluations: Iterable[Evaluation], prefix: str = "eval") -> dict[str, float]:
    """Numbers by `PREFIX_PART_EVALUATOR_METRIC`, and where there is one part only, without it too.

    A part is a data set or a subject. A metric that is called like its evaluator is not named twice: `eval_perplexity`.
    """
    found: dict[str, float] = {}
    for evaluation in evaluations:
        for part, metrics in evaluation.metrics.items():
            for metric, number in metrics.items():
                name = evaluation.name if metric == evaluation.name else f"{evaluation.name}_{metric}"
                found["_".join(filter(None, (prefix, part, name)))] = number.value
                if len(evaluation.metrics) == 1:
                    found[f"{prefix}_{name}"] = number.value
    return found
