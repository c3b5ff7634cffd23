"""From what models make of pairs to records and means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith_library_evaluating import Measured
from tunesmith_library_evaluating.statistics import mean

from tunesmith_evaluator_preference import _METRICS
from tunesmith_evaluator_preference.pairs import Pair, Value

_Values = Sequence[tuple[Value, Value]]


def records_of(
    name: str, pairs: Sequence[Pair], values: _Values, reference: _Values | None, beta: float, *, scores: bool = False
) -> list[dict[str, Any]]:
    """One record for each pair of a data set.

    Args:
        values: of the model, chosen and rejected; reference: of the reference, None without one.
        beta: factor of the implicit reward β (log π(y|x) - log π_ref(y|x)) (Rafailov et al. 2023, arXiv 2305.18290,
            section 4).
        scores: the values are scores, which are not of tokens.
    """
    records = []
    for place, (pair, (chosen, rejected)) in enumerate(zip(pairs, values, strict=True)):
        record: dict[str, Any] = {"dataset": name, "index": pair.index, **_compared("", chosen.total, rejected.total)}
        what = "score" if scores else "log_prob"
        record |= {f"chosen_{what}": chosen.total, f"rejected_{what}": rejected.total}
        if not scores:
            means = (value.total / value.tokens for value in (chosen, rejected))
            record |= _compared("_per_token", *means)
            record |= {"chosen_tokens": chosen.tokens, "rejected_tokens": rejected.tokens}
        if reference is not None:
            rewards = [
                beta * (value.total - other.total)
                for value, other in zip((chosen, rejected), reference[place], strict=True)
            ]
            compared = _compared("", *rewards)
            record |= {f"reward_{metric}": value for metric, value in compared.items()}
            record |= {"chosen_reward": rewards[0], "rejected_reward": rewards[1]}
        records.append(record)
    return records


def _compared(suffix: str, chosen: float, rejected: float) -> dict[str, float]:
    """Equal ones are no success, as in TRL's accuracies."""
    return {f"accuracy{suffix}": float(chosen > rejected), f"margin{suffix}": chosen - rejected}


def measured(records: Sequence[Mapping[str, Any]]) -> dict[str, Measured]:
    """The means of what the records have."""
    return {
        name: mean([record[name] for record in records], greater_is_better=greater)
        for name, greater in _METRICS.items()
        if name in records[0]
    }
