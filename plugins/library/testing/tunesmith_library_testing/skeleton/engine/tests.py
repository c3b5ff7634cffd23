import pytest
from tunesmith.types import Sampling
from tunesmith_engine_placeholder import Placeholder
from tunesmith_engine_placeholder.decoding import Choice
from tunesmith_library_testing import EngineSuite


class TestPlaceholder(EngineSuite):
    plugin = Placeholder


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Sampling(), Choice(9, 0.5, 3)),
        (Sampling(temperature=0.0, seed=1), Choice(9, 0.0, 3, 1)),
        (Sampling(top_k=0), Choice(9, 0.5, 0)),
    ],
)
def test_what_is_asked_wins(asked, expected):
    assert Choice(9, 0.5, 3).over(asked) == expected
