import pytest
from tunesmith_evaluator_placeholder import Placeholder
from tunesmith_library_testing import EvaluatorSuite


class TestPlaceholder(EvaluatorSuite):
    plugin = Placeholder
    options = {"max_new_tokens": 4}


@pytest.mark.parametrize(("ignore_case", "expected"), [(True, 1.0), (False, 0.0)])
def test_looks_for_the_expected_answer(ignore_case, expected):
    assert Placeholder(ignore_case=ignore_case).contains("SEA", "The sea is wide.") == expected


def test_text_that_is_not_there():
    assert Placeholder().contains("land", "The sea is wide.") == 0.0
