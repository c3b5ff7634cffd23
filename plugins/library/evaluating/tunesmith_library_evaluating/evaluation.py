"""What crosses between whoever measures a model and an evaluator. They are what the hook `evaluate` takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class EvaluationData:
    """The evaluation sets by name, in two forms; each is made when it is first asked for, and kept."""

    rows: Callable[[], Mapping[str, Sequence[dict[str, Any]]]]  # canonical rows, every one that a format gave
    # examples of the stage's `encode`, columns of token ids as lists or NumPy arrays (`numpy.asarray` takes both); it
    # may have joined rows or left some out
    examples: Callable[[], Mapping[str, Sequence[Mapping[str, Any]]]]


@dataclass(frozen=True)
class Measured:
    """A number, and how sure it is."""

    value: float
    standard_error: float | None = None  # of the value, over the choice of the examples; None where it is not known
    count: int = 0  # examples that it was measured on
    greater_is_better: bool = True


@dataclass(frozen=True)
class Evaluation:
    """What an evaluator found out."""

    metrics: Mapping[str, Mapping[str, Measured]]  # by data set (or subject, or another part), then by name
    # one for each example, as JSON has it: `dataset`, `index` (its place there), its own numbers under the names of the
    # metrics that are their means, `weight` where these are weighted, `parts` (further parts that count it), and
    # whatever explains them, such as prompt and answer; the same examples in the same order for any model
    records: Sequence[Mapping[str, Any]] = ()
    # what moves the numbers beside model and data: few-shot examples, sampling; as JSON has it
    settings: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""  # of the evaluator; the pipeline fills it in
    model: Mapping[str, Any] = field(default_factory=dict)  # what was measured; the pipeline fills it in
    # what is told beside numbers, by name, such as a confusion matrix; as JSON has it
    tables: Mapping[str, Any] = field(default_factory=dict)
