"""The Kimi and Moonlight templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_kimi import KimiK2, KimiK2Thinking, KimiK3, KimiK25, KimiVL, Moonlight
from tunesmith_template_kimi.tagged import read_tagged


class TestMoonlight(TemplateSuite):
    plugin = Moonlight


class TestKimiVL(TemplateSuite):
    plugin = KimiVL


class TestKimiK2(TemplateSuite):
    plugin = KimiK2


class TestKimiK2Thinking(TemplateSuite):
    plugin = KimiK2Thinking

    def test_the_last_answer_keeps_its_thought_for_training_only(self) -> None:
        chat = [{"role": "user", "content": "A?"}, {"role": "assistant", "content": "4", "reasoning": "Add."}]
        assert self.template().render(chat).text.endswith("<|im_middle|><think></think>4<|im_end|>")
        assert self.template().render(chat, training=True).text.endswith("<think>Add.</think>4<|im_end|>")


class TestKimiK25(TemplateSuite):
    plugin = KimiK25


class TestKimiK3(TemplateSuite):
    plugin = KimiK3


def test_calls_between_tags_are_read() -> None:
    """A string stays one; other values are JSON; attributes are unescaped; arguments may be one object."""
    argument = '<|open|>argument key="{}" type="{}"<|sep|>{}<|close|>argument<|sep|>'
    values = argument.format("a&quot;b", "string", "1") + argument.format("n", "array", "[1, null]")
    body = f'<|open|>call tool="f" index="1"<|sep|>{values}<|close|>call<|sep|>'
    given = '<|open|>json type="object"<|sep|>{"x": 2}<|close|>json<|sep|>'
    whole = f'<|open|>call tool="g" index="2"<|sep|>{given}<|close|>call<|sep|>'
    (first, second), end = read_tagged(body + whole, {})
    assert (first.name, first.arguments) == ("f", {'a"b': "1", "n": [1, None]})
    assert (second.name, second.arguments) == ("g", {"x": 2})
    assert end == len(body + whole)
    assert read_tagged(body + "and more", {}) == ([first], len(body))
    assert read_tagged(body + whole[:-1], {}) == ([first], len(body))
    assert read_tagged(body.replace("[1, null]", "[1"), {}) == ([], 0)
