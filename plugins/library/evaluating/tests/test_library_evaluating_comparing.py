"""Two evaluations compared: the paired bootstrap against scipy's and the closed form, and what is not paired."""

import numpy as np
import pytest
from scipy import stats
from tunesmith_library_evaluating import Evaluation, Measured
from tunesmith_library_evaluating.comparing import compare, paired_bootstrap
from tunesmith_library_evaluating.statistics import mean

DRAWS = np.random.default_rng(7)
FIRST = (DRAWS.random(80) < 0.5).astype(float)
SECOND = np.where(DRAWS.random(80) < 0.25, 1.0, FIRST)
WEIGHTS = DRAWS.integers(1, 30, 80).astype(float)


def evaluation(values, *, settings=None, metrics=None, greater_is_better=True, **columns):
    records = [
        {"dataset": "d", "index": at, "score": float(value), **{name: some[at] for name, some in columns.items()}}
        for at, value in enumerate(values)
    ]
    found = {"score": mean([float(value) for value in values], greater_is_better=greater_is_better), **(metrics or {})}
    return Evaluation({"d": found}, records, settings or {}, "mine")


def test_interval_and_p_value_against_scipy():
    ones = np.ones(80)
    (low, high), p_value = paired_bootstrap(FIRST, ones, SECOND, ones, samples=20_000)
    expected = stats.bootstrap((SECOND - FIRST,), np.mean, method="percentile", n_resamples=20_000, rng=0)
    assert (low, high) == pytest.approx(tuple(expected.confidence_interval), abs=0.013)  # draws differ by 1/80
    drawn, value = expected.bootstrap_distribution, (SECOND - FIRST).mean()
    assert p_value == pytest.approx((np.abs(drawn - value) >= value - 1e-9).mean(), abs=0.002)
    assert paired_bootstrap(FIRST, ones, SECOND, ones, samples=500) == paired_bootstrap(
        FIRST, ones, SECOND, ones, samples=500
    )


def test_weights_against_ratios_drawn_by_hand(monkeypatch):
    """Over parts of draws as over all: a weighted mean is a ratio of sums in each draw."""
    (low, high), _ = paired_bootstrap(FIRST, WEIGHTS, SECOND, WEIGHTS, samples=20_000)
    expected = stats.bootstrap(
        (FIRST, SECOND, WEIGHTS),
        lambda a, b, w, axis=-1: ((b - a) * w).sum(axis=axis) / w.sum(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=20_000,
        rng=0,
    ).confidence_interval
    assert (low, high) == pytest.approx(tuple(expected), abs=0.01)
    monkeypatch.setattr("tunesmith_library_evaluating.comparing._AT_A_TIME", 800)
    parts, _ = paired_bootstrap(FIRST, WEIGHTS, SECOND, WEIGHTS, samples=20_000)
    assert parts == pytest.approx((low, high), abs=1e-12)


def test_no_difference_is_no_finding():
    ones = np.ones(80)
    assert paired_bootstrap(FIRST, ones, FIRST, ones, samples=100) == ((0.0, 0.0), 1.0)
    (difference,) = compare(evaluation(FIRST), evaluation(FIRST)).differences
    assert (difference.paired, difference.changed, difference.p_value) == (True, (), 1.0)


@pytest.mark.parametrize("greater_is_better", [True, False])
def test_what_got_better_and_worse(greater_is_better):
    first, second = [0.0, 1.0, 0.5, 1.0, 0.2], [1.0, 0.0, 0.75, 1.0, 0.2]
    pair = (evaluation(each, greater_is_better=greater_is_better) for each in (first, second))
    (difference,) = compare(*pair, samples=100).differences
    better, worse = ([found[0]["index"] for found in each] for each in (difference.better, difference.worse))
    assert (better, worse) == (([0, 2], [1]) if greater_is_better else ([1], [0, 2]))
    assert difference.value == pytest.approx(0.05) and difference.pairs == 5


def test_numbers_that_are_no_means_are_compared_by_their_errors():
    corpus = {"bleu": Measured(30.0, 1.5, 80)}, {"bleu": Measured(34.0, 2.0, 80)}
    found = compare(evaluation(FIRST, metrics=corpus[0]), evaluation(SECOND, metrics=corpus[1]), samples=100)
    bleu = next(each for each in found.differences if each.metric == "bleu")
    assert not bleu.paired and bleu.interval == pytest.approx(stats.norm.interval(0.95, 4, 2.5))
    assert bleu.p_value == pytest.approx(2 * stats.norm.sf(4 / 2.5))
    unsure = {"bleu": Measured(34.0)}
    found = compare(evaluation(FIRST, metrics=corpus[0]), evaluation(SECOND, metrics=unsure), samples=100)
    assert (found.differences[1].p_value, found.differences[1].interval) == (None, None)


def test_a_number_that_is_called_like_those_of_records_but_is_not_their_mean():
    """Such as a mean over subjects: pairs of records would say something else of it."""
    other = {"score": Measured(0.9, 0.1, 80)}
    (difference,) = compare(evaluation(FIRST, metrics=other), evaluation(SECOND, metrics=other)).differences
    assert not difference.paired


def test_parts_have_the_records_that_name_them():
    records = [{"dataset": "d", "index": at, "score": float(at % 2), "parts": ["even" if at < 4 else "odd"]} for at in range(8)]  # fmt: skip  # noqa: E501
    numbers = {part: {"score": mean([0.0, 1.0] * 2)} for part in ("even", "odd")}
    found = compare(Evaluation(numbers, records), Evaluation(numbers, records), samples=100)
    assert [(each.part, each.paired, each.pairs) for each in found.differences] == [("even", True, 4), ("odd", True, 4)]


def test_what_does_not_pair_is_counted():
    answers = ["x"] * 80
    first = evaluation(FIRST, answer=answers)
    second = evaluation(SECOND[:60], answer=["y", *answers[1:60]])
    found = compare(first, second, samples=100)
    assert (found.pairs, found.only_first, found.only_second, found.other) == (59, 20, 0, 1)
    assert not found.differences[0].paired, "the numbers are of more examples than the pairs"


def test_settings_that_differ():
    """They are told; and a prompt may then be put differently for the same example."""
    first = evaluation(FIRST, settings={"shots": 5, "seed": 0}, prompt=["a"] * 80)
    second = evaluation(SECOND, settings={"shots": 0, "seed": 0}, prompt=["b"] * 80)
    found = compare(first, second, samples=100)
    assert found.settings == {"shots": (5, 0)} and found.pairs == 80
    same = evaluation(SECOND, settings={"shots": 5, "seed": 0}, prompt=["b"] * 80)
    assert compare(first, same, samples=100).other == 80


def test_an_error_of_0_makes_nothing_certain():
    """Two examples that are alike have one, and say little of others."""
    first, second = (
        Evaluation({"a": {"f1": Measured(value, 0.0, 2, greater_is_better=True)}}, []) for value in (0.0, 1.0)
    )
    (found,) = compare(first, second).differences
    assert (found.interval, found.p_value) == (None, None)
