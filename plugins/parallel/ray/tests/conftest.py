"""One Ray cluster for all tests here: to start one takes longer than most of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tunesmith_parallel_ray import Ray


@pytest.fixture(autouse=True)
def alone(no_launcher: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No launcher is at work already, and no cluster of somebody's is meant."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """A cluster as the plugin starts it, of four CPUs and four berths; its address."""
    import ray
    from tunesmith_parallel_ray.cluster import connected

    with connected(Ray(processes=4, resources={"CPU": 1, "berth": 1}), 4) as own:
        assert own
        yield ray.get_runtime_context().gcs_address
