"""What runs on this machine took, kept for the plans of the next: a small file for each device and precision.

A run's step is what its three terms by default add up to, each times a factor of its own. The factors are those that
fit the runs best by relative error, held to one another where runs do not tell them apart: one run scales all alike;
runs of other sizes, lengths and adapters tell products, memory and calls apart. The newest runs are kept.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.files import replacing
from tunesmith_library_caching.places import PLANNING, kept_in

from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.roofline import Terms, can_tell, training_step

_METHOD = 2  # of computing the terms; another one begins anew
_MOST = 32  # runs
_TELLING = 0.5  # share of a step that a model must take by default, for the step to tell of larger models
_HELD = 0.03  # how strongly factors are held to one another, beside the squared errors of the runs


@dataclass(frozen=True)
class Measured:
    """What a run took, of one process; None is not known."""

    step: float | None = None  # seconds of a step in the middle of the run: the median, without the first
    tokens: float | None = None  # of such a step, with what pads them
    loading: float | None = None  # seconds until the first step: imports, data, the model


@dataclass(frozen=True)
class Known:
    """What runs on this machine have told."""

    runs: int = 0
    factors: tuple[float, float, float] = (1.0, 1.0, 1.0)  # of products, traffic, calls
    loading: float | None = None  # seconds until the first step, beside what reading the weights takes

    def applied(self, terms: Terms) -> Terms:
        """Terms by default as this machine has them."""
        products, traffic, calls = self.factors
        return Terms(products * terms.products, traffic * terms.traffic, calls * terms.calls, terms.other)


def learn(estimate: Estimate, measured: Measured) -> None:
    """Keep what a run took, of which the estimate is this.

    A step that mostly waits for Python, as those of toys do, is not kept: it tells nothing of larger models.

    Raises: OSError where nothing can be written.
    """
    if not estimate.machine.model or not can_tell(estimate.machine) or not estimate.weights:
        return
    if measured.step is None or not 0 < measured.step < math.inf:
        return
    terms = training_step(estimate, measured.tokens)
    if terms.products + terms.traffic < _TELLING * terms.total:
        return
    run: dict[str, Any] = {"terms": terms.parts, "seconds": measured.step, "loading": measured.loading}
    file = _file(estimate)
    runs = [*_runs(file), run][-_MOST:]
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as draft:
        draft.write_text(json.dumps({**_depends(estimate), "runs": runs}, indent=1), encoding="utf-8")


def known(estimate: Estimate) -> Known:
    """What runs on the machine at hand have told of its speed; of one that was named nothing."""
    if not estimate.machine.model:
        return Known()
    runs = _runs(_file(estimate))
    loading = [float(run["loading"]) for run in runs if run.get("loading")]
    told = [(run["terms"], float(run["seconds"])) for run in runs]
    return Known(len(runs), fitted(told), statistics.median(loading) if loading else None)


def fitted(runs: Sequence[tuple[Sequence[float], float]]) -> tuple[float, float, float]:
    """Factors of products, traffic and calls.

    The common factor s is the median of measured over predicted; the factors c minimise Σ (Σ c x − y)² / y² + held Σ
    (c / s − 1)² over all runs, with terms x and seconds y. None is less than a quarter, or more than four times, s.

    Args:
        runs: the terms of each by default, in seconds, and the seconds that it took.
    """
    usable = [(terms[:3], seconds - terms[3]) for terms, seconds in runs if seconds > terms[3] and sum(terms[:3]) > 0]
    if not usable:
        return 1.0, 1.0, 1.0
    common = statistics.median(seconds / sum(terms) for terms, seconds in usable)
    # in units of s: rows are shares of the measured time, which should add up to one
    rows = [[common * term / seconds for term in terms] for terms, seconds in usable]
    matrix = [[sum(row[i] * row[j] for row in rows) + _HELD * (i == j) for j in range(3)] for i in range(3)]
    right = [sum(row[i] for row in rows) + _HELD for i in range(3)]
    first, second, third = (common * min(max(value, 0.25), 4.0) for value in _solved(matrix, right))
    return first, second, third


def _solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """The solution of a small system that is positive definite, by elimination."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for step in range(size):
        for other in range(size):
            if other != step:
                share = rows[other][step] / rows[step][step]
                rows[other] = [a - share * b for a, b in zip(rows[other], rows[step], strict=True)]
    return [row[size] / row[index] for index, row in enumerate(rows)]


def _runs(file: Path) -> list[dict[str, Any]]:
    """The runs that a file tells of; none of one that is damaged."""
    try:
        runs = json.loads(file.read_text(encoding="utf-8"))["runs"]
        return [run for run in runs if _is_whole(run)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _is_whole(run: Mapping[str, Any]) -> bool:
    numbers = [*run["terms"], run["seconds"]]
    return len(numbers) == 5 and all(isinstance(n, int | float) and 0 <= n < math.inf for n in numbers)


def _file(estimate: Estimate) -> Path:
    key = json.dumps(_depends(estimate), sort_keys=True).encode()
    return kept_in(PLANNING) / f"{hashlib.blake2b(key, digest_size=16).hexdigest()}.json"


def _depends(estimate: Estimate) -> dict[str, Any]:
    """All that the factors are of."""
    machine = estimate.machine
    return {"device": machine.model, "kind": machine.device, "precision": estimate.precision, "method": _METHOD}
