"""`trainer.torch_compile`: a run whose layers are compiled is the run without."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_trainer_transformers import SHORT, difference, make_job, weights
from tunesmith_trainer_transformers import Transformers

torch = pytest.importorskip("torch")


@pytest.mark.slow
def test_a_compiled_run_is_the_plain_run(tiny_llama: Path, tmp_path: Path) -> None:
    """The weights are those of layers that are not compiled, and are saved under the same names."""
    torch._dynamo.reset()
    jobs = [make_job(tiny_llama, tmp_path / str(number))[0] for number in range(2)]
    for job, compiled in zip(jobs, (False, True), strict=True):
        Transformers(**SHORT, torch_compile=compiled, torch_compile_backend="aot_eager").fit(job)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    plain, compiled_weights = (weights(job.model) for job in jobs)
    assert plain.keys() == compiled_weights.keys()
    assert difference(plain, compiled_weights) < 1e-6
    torch._dynamo.reset()
