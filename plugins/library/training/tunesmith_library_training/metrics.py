"""Which metrics a run's evaluations have, and which way each is better: as its stage and its evaluators declare it.

The one place that decides it for the best checkpoint, early stopping and a schedule that follows a metric. Free of
torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tunesmith import TunesmithError, announce
from tunesmith.errors import choices
from tunesmith.messages import logger
from tunesmith.traits import traits_of
from tunesmith.types import Problem

if TYPE_CHECKING:
    from tunesmith.planning import Plan

Directions = Mapping[str, bool | None]
"""By the name of a metric, whether greater is better; None for one that is neither better nor worse by itself."""

TOKEN_METRICS: Directions = {"loss": False, "accuracy": True}
"""Of stages whose loss is one of next tokens (`token_loss`)."""

PAIR_METRICS: Directions = {
    "loss": False,
    "rewards/accuracies": True,
    "rewards/margins": True,
    "rewards/chosen": True,
    "rewards/rejected": False,
    "logps/chosen": True,
    "logps/rejected": False,
}
"""Of stages that compare answers, as `pairs.pair_metrics` gives them."""

REWARD_METRICS: Directions = {"reward": True, "ended": True, "answer_tokens": None}
"""Of stages that learn from rewards, as `scoring.evaluate` gives them."""

_LESS_IS_BETTER = frozenset({"loss", "perplexity", "ppl", "error", "nll", "kl", "rejected", "wer", "cer", "brier"})
_KEY = "trainer.metric_for_best_model"


@dataclass(frozen=True)
class Declared:
    """What the plugins of a run say of its metrics."""

    stage: Directions = field(default_factory=lambda: {"loss": False})
    evaluators: Directions = field(default_factory=dict)
    complete: bool = False  # whether all of them have said it, so that a name of nobody's is a mistake

    @classmethod
    def of(cls, plan: Plan) -> Declared:
        """What a training's plan tells."""
        stage = plan.traits("stage")
        said = stage.metrics if stage else {}
        evaluators: dict[str, bool | None] = {}
        complete = bool(said) and not plan.uses("loss")
        for name in plan.get("evaluator") or ():
            plugin = plan.installed("evaluator").get(name)
            found = traits_of("evaluator", plugin).metrics if plugin else {}
            evaluators |= {_in_training(name, metric): greater for metric, greater in found.items()}
            complete = complete and bool(found)
        return cls(said or {"loss": False}, evaluators, complete)

    def first(self, names: Iterable[str]) -> str:
        """The metric that evaluations are compared by when none was chosen: the stage's first, of the first set."""
        sets, metric = list(names), next(iter(self.stage))
        return f"eval_{metric}" if len(sets) == 1 else f"eval_{sets[0]}_{metric}"

    def by_name(self, sets: Mapping[str, Any]) -> dict[str, bool | None]:
        """The directions of all metrics under the names that they have with these evaluation sets."""
        found: dict[str, bool | None] = {}
        for name, dataset in sets.items():
            metrics = {**self.stage, **self.evaluators}
            if "loss" in self.stage:
                metrics |= {f"loss_{part}": False for part in _parts(dataset)}
            for metric, greater in metrics.items():
                found[f"eval_{name}_{metric}"] = greater
                if len(sets) == 1:
                    found[f"eval_{metric}"] = greater
        return found


def metric_name(evaluator: str, metric: str) -> str:
    """What a training calls a metric of an evaluator: `text_metrics_rouge-l`; one that is called like its evaluator is
    not named twice. A private evaluator, `/folder/top.py:Top`, is called as it is in its file.
    """
    name = evaluator.rpartition(":")[2] if ".py:" in evaluator else evaluator
    return metric if metric == name else f"{name}_{metric}"


def _in_training(evaluator: str, declared: str) -> str:
    """The name in a training of a metric that an evaluator declares, under this name or its own."""
    return declared if declared.startswith(f"{evaluator}_") else metric_name(evaluator, declared)


def unknown_metric(plan: Plan, asked: str | None) -> Iterator[Problem]:
    """The problem of a metric that none of a run's plugins has, as far as they all say what they have."""
    declared = Declared.of(plan)
    if asked is None or not declared.complete:
        return
    metrics = [*declared.stage, *declared.evaluators]
    name = asked.removeprefix("eval_")
    of_one_set = "loss" in declared.stage and re.search("(^|_)loss_.", name)
    if of_one_set or any(name == metric or name.endswith(f"_{metric}") for metric in metrics):
        return
    advice = f"{choices(name, metrics)}\nof one of several evaluation sets: SET_{metrics[0]}"
    yield Problem(_KEY, f"{_KEY}={asked}: no evaluation has such a metric.", advice)


def settle_best(
    arguments: Any,
    sets: Mapping[str, Any],
    declared: Declared,
    *,
    greater_is_better: bool | None,
    look: Callable[[], Directions],
) -> None:
    """Decide by which metric evaluations are compared, and which way, in transformers' arguments.

    Args:
        arguments: its `metric_for_best_model` is what was asked for; None is the stage's first.
        sets: the evaluation sets by name, none of them empty.
        greater_is_better: what the user says of it; None goes by what is declared.
        look: measures a little, to find the metrics that nobody declares; called only for such a one.

    Raises: TunesmithError when there is no such metric.
    """
    name = arguments.metric_for_best_model or declared.first(sets)
    name = name if name.startswith("eval_") else f"eval_{name}"
    known = declared.by_name(sets)
    if name not in known:
        known |= look()
    if name not in known:
        possible = [each.removeprefix("eval_") for each in known]
        asked = name.removeprefix("eval_")
        raise TunesmithError(f"{_KEY}={arguments.metric_for_best_model} is unknown.\n  {choices(asked, possible)}")
    said = known[name]
    if greater_is_better is None and said is None:
        said = _guessed(name)
        logger.warning(
            "nobody says which way %s is better: taken is %s; trainer.greater_is_better=true or false says it",
            name,
            "greater" if said else "less",
        )
    elif greater_is_better is not None and said is not None and greater_is_better != said:
        logger.warning(
            "trainer.greater_is_better=%s, but %s is better the other way", str(greater_is_better).lower(), name
        )
    arguments.metric_for_best_model = name
    arguments.greater_is_better = bool(said if greater_is_better is None else greater_is_better)
    if arguments.lr_scheduler_type == "reduce_lr_on_plateau":
        mode = "max" if arguments.greater_is_better else "min"
        arguments.lr_scheduler_kwargs = {"mode": mode, **(arguments.lr_scheduler_kwargs or {})}
    announce(
        "evaluations", f"compared by {name}", "greater is better" if arguments.greater_is_better else "less is better"
    )


def warn_of_non_finite(metrics: Mapping[str, float], step: int) -> None:
    """Say which numbers of an evaluation are none; such an evaluation is never the best."""
    names = [name for name, value in metrics.items() if value != value or value in (float("inf"), float("-inf"))]
    if names:
        logger.warning("evaluation at step %d: %s is not finite", step, ", ".join(names))


def _guessed(name: str) -> bool:
    """Whether greater is better, by the words of a name."""
    return not _LESS_IS_BETTER & set(re.split(r"[_/\-. ]", name.lower()))


def _parts(dataset: Any) -> list[str]:
    """The training sets that a held-out set has examples of, each with a loss of its own; none where it is one."""
    if "dataset" in (getattr(dataset, "column_names", None) or ()):
        return [str(name) for name in dataset.unique("dataset")]
    if not len(dataset) or "dataset" not in dataset[0]:
        return []
    return list(dict.fromkeys(str(dataset[index]["dataset"]) for index in range(len(dataset))))
