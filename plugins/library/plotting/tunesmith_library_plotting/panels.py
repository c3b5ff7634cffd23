"""Which metrics are shown, and in which panel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Curves = dict[str, dict[int, float]]
"""Name of a metric -> step -> value."""

PANELS = {
    "loss": ("loss",),
    "reward": ("reward", "rewards/chosen", "rewards/rejected", "rewards/margins"),
    "accuracy": ("accuracy", "rewards/accuracies"),
    "learning rate": ("learning_rate",),
    "gradient norm": ("grad_norm",),
    "memory of the GPU, GiB": ("gpu_memory_gib",),
}
"""Title of a panel -> the metrics that it shows, of training and of evaluations."""

_METRICS = [metric for panel in PANELS.values() for metric in panel]
_TIMES = ("runtime", "per_second", "epoch")  # what ends so is no result of an evaluation


@dataclass(frozen=True)
class Part:
    """What a logged name is about."""

    panel: str
    metric: str
    measured_on: str  # training, training SET, evaluation, evaluation SET

    @property
    def is_evaluation(self) -> bool:
        return self.measured_on.startswith("evaluation")

    @property
    def short(self) -> str:
        """What tells a metric from others of its panel: chosen, rejected, margins; empty where there is only one."""
        return "" if self.metric == "rewards/accuracies" else self.metric.partition("/")[2] * (self.panel == "reward")

    @property
    def place(self) -> tuple[bool, int, str]:
        """Training comes before evaluations, and metrics in the order of `PANELS`."""
        order = _METRICS.index(self.metric) if self.metric in _METRICS else len(_METRICS)
        return self.is_evaluation, order, self.measured_on


def part(name: str) -> Part | None:
    """`loss` is of training, `loss_chats` of the set chats, `eval_loss` of evaluations, `eval_held_loss` of held.

    Returns: None when no panel of its own shows it.
    """
    if name in _METRICS:
        return Part(_panel(name), name, "training")
    if name.startswith("loss_"):  # of one of several training sets
        return Part("loss", "loss", f"training {name.removeprefix('loss_')}")
    rest = name.removeprefix("eval")
    found = (metric for metric in _METRICS if name.startswith("eval_") and rest.endswith(f"_{metric}"))
    metric = next(found, None)
    return metric and Part(_panel(metric), metric, f"evaluation {rest[1 : -len(metric) - 1]}".rstrip())  # type: ignore[return-value]


def asked(name: str) -> Part:
    """As `part`; a metric without a panel of its own gets one."""
    measured_on = "evaluation" if name.startswith("eval_") else "training"
    return part(name) or Part(name, name, measured_on)


def shown(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics that a panel shows; that of all evaluations (`eval_loss`) only where it does not repeat another."""
    found = {name: split for name in metrics if (split := part(name)) and metrics[name] is not None}
    named = {split.metric for split in found.values() if split.measured_on.startswith("evaluation ")}
    return {
        name: metrics[name]
        for name, split in found.items()
        if not (split.measured_on == "evaluation" and split.metric in named)
    }


def results(metrics: Mapping[str, float]) -> dict[str, float]:
    """What evaluators found out, which has no panel of its own; of a number that comes twice the longer name."""
    found: dict[str, float] = {}
    for name, value in metrics.items():
        own = name.startswith("eval_") and part(name) is None and not name.endswith(_TIMES)
        repeated = any(other.endswith(name.removeprefix("eval")) for other in metrics if other != name)
        if own and not repeated and value is not None:
            found[name] = value
    return found


def _panel(metric: str) -> str:
    return next(title for title, metrics in PANELS.items() if metric in metrics)
