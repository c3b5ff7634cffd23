import pytest
from tunesmith_engine_placeholder import Placeholder
from tunesmith_engine_placeholder.decoding import _held_back
from tunesmith_library_testing import EngineSuite


class TestPlaceholder(EngineSuite):
    plugin = Placeholder


@pytest.mark.parametrize(
    ("text", "count"), [("fine", 0), ("half \ufffd", 1), ("ends <|im", 4), ("ends <|im_end|", 9), ("a < b", 0)]
)
def test_holds_back_what_may_change(text, count):
    assert _held_back(text, ("<|im_end|>",)) == count
