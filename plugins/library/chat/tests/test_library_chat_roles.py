"""Messages that a template does not know the role of are refused, not left out."""

from typing import Any

import pytest
from tunesmith.errors import DataError
from tunesmith.types import Conversation, Sampling
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_chat.plain_tokenizer import PlainTokenizer
from tunesmith_library_chat.roles import unusual

# Writes the first system message, users, assistants, results behind calls and critics, and leaves out all others.
LENIENT = (
    "{%- for m in messages %}{%- if m.role in ['user', 'assistant', 'critic'] or m.role == 'system' and loop.first"
    " or m.role == 'tool' and loop.previtem.tool_calls %}[{{ m.role }}]{{ m.content }}{%- endif %}{%- endfor %}"
    "{{- '[assistant]' if add_generation_prompt }}"
)
STRICT = LENIENT.replace(
    "{%- endif %}{%- endfor", "{%- else %}{{ raise_exception('no ' ~ m.role) }}{%- endif %}{%- endfor"
)
CALL = [{"type": "function", "function": {"name": "now", "arguments": {}}}]


def said(*roles: str) -> list[dict[str, Any]]:
    return [{"role": role, "content": f"{index}."} for index, role in enumerate(roles)]


@pytest.mark.parametrize(
    ("roles", "told"),
    [
        (("user", "developer", "assistant"), "message 2 of 3 has the role developer; .*: assistant, critic, user$"),
        (
            ("usr", "assistant"),
            "message 1 of 2 has the role usr; .*: assistant, critic, system, user   did you mean user?",
        ),
        (("developer", "user", "assistant"), "message 1 of 3 has the role developer; .* did you mean system?"),
        (("human", "assistant"), "message 1 of 2 has the role human; .* did you mean user?"),
        (
            ("user", "assistant", "system", "user", "assistant"),
            "message 3 of 5 has the role system; .*: assistant, critic, user",
        ),
        (("user", "tool", "assistant"), "message 2 of 3 has the role tool; .*: assistant, critic, user"),
    ],
)
@pytest.mark.parametrize("jinja", [LENIENT, STRICT], ids=["lenient", "strict"])
def test_a_message_that_would_be_left_out(jinja: str, roles: tuple[str, ...], told: str) -> None:
    """The template's own reason stays in front; what others render of it, without training, stays as it is."""
    template, reason = ChatTemplate("mine", jinja, ("!",)), "template mine would leave out a message"
    if jinja == STRICT:
        wrong = next(role for role in roles if role not in ("user", "assistant"))
        reason = f"template mine cannot render this conversation: no {wrong}"
        with pytest.raises(DataError, match=f"(?s){reason}\n  {told}"):
            template.render(said(*roles))
    else:
        assert template.render(said(*roles)).text.count("[") == len(roles) - 1
    with pytest.raises(DataError, match=f"(?s)^{reason}\n  {told}"):
        template.render(said(*roles), training=True)
    with pytest.raises(DataError, match=f"(?s)^{reason}\n  {told}"):
        template.request(PlainTokenizer(), Conversation(said(*roles)), Sampling())


@pytest.mark.parametrize(
    "roles",
    [
        ("user", "assistant"),
        ("system", "user", "assistant"),
        ("critic", "user", "assistant"),
        ("user", "critic", "assistant"),
    ],
)
def test_messages_that_are_written(roles: tuple[str, ...]) -> None:
    template = ChatTemplate("mine", LENIENT, ("!",))
    assert template.render(said(*roles), training=True).text.count("[") == len(roles)
    assert template.request(PlainTokenizer(), Conversation(said(*roles, "user")), Sampling()).prompt


def test_a_system_message_and_a_result_that_a_chat_would_lose() -> None:
    """Some templates leave out what every chat may have; the model would answer without it."""
    deaf = "{%- for m in messages if m.role not in ['system', 'tool'] %}[{{ m.role }}]{{ m.content }}{%- endfor %}"
    template = ChatTemplate("deaf", deaf, ("!",))
    called = [*said("user"), {"role": "assistant", "content": "", "tool_calls": CALL}, *said("tool")]
    for messages, told in ((said("system", "user"), "message 1 of 2 has the role system"), (called, "message 3 of 3")):
        with pytest.raises(DataError, match=f"template deaf would leave out a message\n  {told}"):
            template.request(PlainTokenizer(), Conversation(messages), Sampling())
    empty = [{"role": "system", "content": ""}, *said("user")]
    assert template.request(PlainTokenizer(), Conversation(empty), Sampling()).prompt


def test_a_template_that_refuses_for_another_reason() -> None:
    template = ChatTemplate("never", "{{- raise_exception('never') }}", ("!",))
    with pytest.raises(DataError, match=r"cannot render this conversation: never$"):
        template.render(said("user", "developer", "assistant"), training=True)


def test_unusual_messages() -> None:
    called = {"role": "assistant", "content": "", "tool_calls": CALL}
    assert unusual([*said("system", "user"), called, *said("tool", "tool", "assistant", "user", "tool")]) == [7]
    assert unusual(said("user", "system", "developer", "Assistant")) == [1, 2, 3]


def test_tools_that_a_template_has_no_word_of() -> None:
    """What is learned loses no tools in silence; a conversation that only mentions one is written as before."""
    plain = ChatTemplate("plain", "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}", ("!",))
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    called = [*said("user"), {"role": "assistant", "content": "", "tool_calls": CALL}]
    with pytest.raises(DataError, match="template plain has no form for tools, and would leave out add"):
        plain.render(said("user", "assistant"), tools, training=True)
    with pytest.raises(DataError, match="no form for calls of tools, and would leave out"):
        plain.render(called, training=True)
    whole = ChatTemplate("whole", "{{ messages | tojson }}", ("!",))
    assert "tool_calls" in whole.render(called, training=True).text
