import pytest
from reward_varied import Varied
from tunesmith_library_testing import RewardSuite


class TestVaried(RewardSuite):
    plugin = Varied
    one_file = True
    better = "Whales sing, and nobody counts the waves."
    worse = "the sea the sea the sea the sea the sea"


def test_runs_of_words_are_counted_once():
    answers = ["a b c", "a b a b a b", "a", ""]
    assert Varied(words=2).score(completions=answers) == pytest.approx([1.0, 2 / 5, 1.0, 0.0])
