import pytest
from tunesmith_library_testing import RewardSuite
from tunesmith_reward_placeholder import Placeholder


class TestPlaceholder(RewardSuite):
    plugin = Placeholder
    options = {"words": 4}
    better = "Whales do."
    worse = "It is widely known that whales are the animals that sing."


def test_half_of_what_is_twice_too_long():
    assert Placeholder(words=2).score(completions=["a b", "a b c d", ""]) == pytest.approx([1.0, 0.5, 0.0])
