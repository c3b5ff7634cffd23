from tunesmith_format_placeholder import Placeholder
from tunesmith_library_testing import FormatSuite

USER, ASSISTANT = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}


class TestPlaceholder(FormatSuite):
    plugin = Placeholder
    records = [{"question": "Why?", "answer": "Because."}]
    rows = [{"messages": [USER, ASSISTANT]}]
    renamed = {"question": "input", "answer": "output"}


def test_system_message():
    record = {"question": "Why?", "answer": "Because."}
    (row,) = Placeholder(system="Be brief.").to_rows(records=[record], columns={})
    assert row["messages"] == [{"role": "system", "content": "Be brief."}, USER, ASSISTANT]
