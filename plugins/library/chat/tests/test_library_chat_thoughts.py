"""What closes a thought, as a template writes it."""

from tunesmith.types import Conversation
from tunesmith_library_chat.answer_grammars import source_of
from tunesmith_library_chat.leading import thought_end
from tunesmith_library_chat.template import ChatTemplate
from tunesmith_library_chat.thoughts import Thinking

TURNS = "{% for m in messages %}<{{ m.role }}>{% if m.reasoning %}[T]{{ m.reasoning }}[/T] {% endif %}{{ m.content }}!"
JINJA = TURNS + "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"


def test_what_stands_behind_a_thought_is_read_off_the_template():
    """With its own white space; as everywhere, where a template has no form for thoughts."""
    conversation = Conversation([{"role": "user", "content": "1"}])
    for jinja, expected in ((JINJA, "[/T] "), (JINJA.replace("m.reasoning", "m.why"), "\n[/T]\n\n")):
        template = ChatTemplate("plain", jinja, ("!",), thinking=Thinking("[T]", "[/T]"))
        assert thought_end(source_of(template, {}, conversation)) == expected
    assert thought_end(source_of(ChatTemplate("plain", JINJA, ("!",)), {}, conversation)) == ""
