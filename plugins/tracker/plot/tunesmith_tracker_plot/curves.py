"""Which metrics of a run are shown, and the curves that were recorded before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

Curves = dict[str, dict[int, float]]
"""Name of a metric -> step -> value."""

PANELS = {
    "loss": ("loss",),
    "reward": ("reward", "rewards/chosen", "rewards/rejected", "rewards/margins"),
    "accuracy": ("accuracy", "rewards/accuracies"),
}
"""Title of a panel -> the metrics that it shows, of training and of evaluations."""


def parts(name: str) -> tuple[str, str] | None:
    """The metric that a logged name is about, and what it was measured on.

    Returns: `loss` → (loss, training), `loss_chats` → (loss, training chats), `eval_loss` → (loss, evaluation),
        `eval_held_loss` → (loss, evaluation held); None when no panel shows it.
    """
    metrics = [metric for panel in PANELS.values() for metric in panel]
    if name in metrics:
        return name, "training"
    if name.startswith("loss_"):  # of one of several training sets
        return "loss", f"training {name.removeprefix('loss_')}"
    rest = name.removeprefix("eval")
    found = (metric for metric in metrics if name.startswith("eval_") and rest.endswith(f"_{metric}"))
    return next(((metric, f"evaluation {rest[1 : -len(metric) - 1]}".rstrip()) for metric in found), None)


def shown(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics that a panel shows; that of all evaluations (`eval_loss`) only where it does not repeat another."""
    found = {name: split for name in metrics if (split := parts(name)) and metrics[name] is not None}
    named = {metric for metric, measured_on in found.values() if measured_on.startswith("evaluation ")}
    return {
        name: metrics[name]
        for name, (metric, measured_on) in found.items()
        if not (measured_on == "evaluation" and metric in named)
    }


def recorded(file: Path, until: int) -> Curves:
    """The curves up to a step, from a tracker's JSON Lines; none for a new run (step 0), or without the file.

    Lines that are no records, such as what a killed run left of one, are passed over.
    """
    curves: Curves = {}
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if until and file.is_file() else []:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        step = record.pop("step", None) if isinstance(record, dict) else None
        if isinstance(step, int) and step <= until:
            for name, value in shown(record).items():
                curves.setdefault(name, {})[step] = value
    return curves
