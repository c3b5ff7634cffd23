import pytest
from tunesmith.types import Piece
from tunesmith_evaluator_placeholder import Placeholder, share
from tunesmith_library_evaluating import EvaluationData
from tunesmith_library_testing import EvaluatorSuite


class TestPlaceholder(EvaluatorSuite):
    plugin = Placeholder
    options = {"max_new_tokens": 4}


class Parrot:
    """Says what was said last."""

    def answer(self, conversations, sampling):
        for index, messages in enumerate(conversations):
            yield Piece(index, messages[-1]["content"])


@pytest.mark.parametrize(("ignore_case", "expected"), [(True, 0.5), (False, 0.0)])
def test_looks_for_the_expected_answer(ignore_case, expected):
    pairs = [("The sea is wide.", "SEA"), ("The sea is wide.", "land")]
    rows = [{"messages": [{"content": said}, {"content": answer}]} for said, answer in pairs]
    data = EvaluationData(rows=lambda: {"test": rows}, examples=dict)
    found = Placeholder(ignore_case=ignore_case).evaluate(chat=Parrot(), data=data)
    assert found.metrics["test"]["contains"].value == expected


def test_standard_error_is_that_of_a_mean():
    assert share([1.0, 1.0, 0.0, 0.0]).standard_error == pytest.approx((1 / 12) ** 0.5)
