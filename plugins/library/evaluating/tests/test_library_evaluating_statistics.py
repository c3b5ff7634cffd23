"""Standard errors against scipy and float64: the bootstrap's own, and closed forms."""

import math

import numpy as np
import pytest
from scipy import stats
from tunesmith_library_evaluating.statistics import bootstrap, clustered, mean

VALUES = [0.5, 1.0, 0.0, 0.25, 1.0, 0.75, 0.0]


def test_mean_is_that_of_scipy():
    found = mean(VALUES, greater_is_better=False)
    assert found.value == pytest.approx(np.mean(VALUES), abs=1e-15)
    assert found.standard_error == pytest.approx(stats.sem(VALUES), rel=1e-13)
    assert (found.count, found.greater_is_better) == (7, False)
    assert mean([0.3]).standard_error is None


def test_nothing_has_no_mean():
    for ask in (lambda: mean([]), lambda: bootstrap([], len)):
        with pytest.raises(ValueError, match="nothing"):
            ask()


def test_clusters_against_double_sum():
    """Miller 2024, equation 4: all pairs of each cluster, and the correction for few clusters."""
    clusters = ["a", "a", "b", "b", "b", "c", "d"]
    centred = np.array(VALUES) - np.mean(VALUES)
    pairs = sum(centred[i] * centred[j] for i in range(7) for j in range(7) if clusters[i] == clusters[j])
    found = clustered(VALUES, clusters)
    assert found.standard_error == pytest.approx(math.sqrt(4 / 3 * pairs) / 7, rel=1e-12)
    assert found.count == 4


def test_equal_answers_of_a_cluster_count_once():
    """Each answer four times over is no more certain than once."""
    repeated = clustered([value for value in VALUES for _ in range(4)], [at for at in range(7) for _ in range(4)])
    assert repeated.standard_error == pytest.approx(mean(VALUES).standard_error, rel=1e-12)


def test_bootstrap_is_that_of_scipy():
    """Of a number that is no mean, the ratio of two sums; both draw, so they agree as far as draws do."""
    pairs = [(value, 1 + at % 3) for at, value in enumerate(VALUES * 6)]

    def ratio(records):
        return sum(record[0] for record in records) / sum(record[1] for record in records)

    found = bootstrap(pairs, ratio, samples=4000, seed=3)
    columns = tuple(np.array(pairs).T)
    expected = stats.bootstrap(
        columns, lambda a, b: a.sum() / b.sum(), paired=True, vectorized=False, n_resamples=4000, rng=0
    ).standard_error
    assert found.value == ratio(pairs)
    assert found.standard_error == pytest.approx(expected, rel=0.06)
    assert bootstrap(pairs, ratio, samples=50, seed=3) == bootstrap(pairs, ratio, samples=50, seed=3)
    assert bootstrap(pairs[:1], ratio).standard_error is None
