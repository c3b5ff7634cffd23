import pytest
import torch
from tunesmith.types import Sampling
from tunesmith_engine_placeholder import Placeholder
from tunesmith_engine_placeholder.engine import choose
from tunesmith_library_testing import EngineSuite


class TestPlaceholder(EngineSuite):
    plugin = Placeholder


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Sampling(), {1}),
        (Sampling(top_k=2), {1, 2}),
        (Sampling(top_k=0), {0, 1, 2}),
        (Sampling(temperature=0.0, top_k=0), {1}),
    ],
)
def test_what_is_asked_wins(asked, expected):
    log_probs, generator = torch.tensor([0.2, 0.5, 0.3]).log(), torch.Generator().manual_seed(0)
    options = Sampling(temperature=1.0, top_k=1)
    assert {choose(log_probs, asked, options, generator) for _ in range(100)} == expected
