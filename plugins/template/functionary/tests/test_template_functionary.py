"""The templates of Functionary against their official renderings."""

import pytest
from tunesmith.types import Conversation
from tunesmith_library_chat.answers import Parts, message_of
from tunesmith_library_testing import TemplateSuite
from tunesmith_template_functionary import Functionary, FunctionaryV32


class TestFunctionary(TemplateSuite):
    plugin = Functionary


class TestFunctionaryV32(TemplateSuite):
    plugin = FunctionaryV32


@pytest.mark.parametrize("pieces", (1, 3, 100))
def test_the_recipient_that_the_prompt_began_is_no_text(pieces: int) -> None:
    """Prompts end with `>>>`, so that an answer to the user begins with `all`, and a call with its name."""
    said = 'all\nThat is all\nof it.>>>add\n{"a": 1}'
    asked = Conversation([{"role": "user", "content": "Add."}])
    reader, parts = TestFunctionaryV32().template().reader(asked), Parts()
    for start in range(0, len(said), pieces):
        parts += reader.push(said[start : start + pieces])
    message = message_of(parts + reader.finish())
    assert message["content"] == "That is all\nof it."
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["add"]
