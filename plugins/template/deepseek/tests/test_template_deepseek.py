"""The templates of the DeepSeek models against their official renderings."""

from tunesmith_library_chat.conversations import CASES
from tunesmith_library_testing import TemplateSuite
from tunesmith_template_deepseek import (
    DeepSeek,
    DeepSeek2,
    DeepSeek3,
    DeepSeek4,
    DeepSeek25,
    DeepSeek31,
    DeepSeek32,
    DeepSeekCoder,
    DeepSeekR1,
    DeepSeekR10528,
)


class TestDeepSeek(TemplateSuite):
    plugin = DeepSeek


class TestDeepSeek2(TemplateSuite):
    plugin = DeepSeek2


class TestDeepSeek25(TemplateSuite):
    plugin = DeepSeek25


class TestDeepSeek3(TemplateSuite):
    plugin = DeepSeek3


class TestDeepSeekR1(TemplateSuite):
    plugin = DeepSeekR1


class TestDeepSeekR10528(TemplateSuite):
    plugin = DeepSeekR10528

    def test_every_question_ends_with_the_mark_of_its_answer(self) -> None:
        """As officially; a greeting has none."""
        chat = [
            {"role": role, "content": content}
            for role, content in (("assistant", "Ho."), ("user", "A?"), ("user", "B?"))
        ]
        text = self.template().render(chat, add_generation_prompt=True).text
        assert text.endswith("Ho.<｜end▁of▁sentence｜><｜User｜>A?<｜Assistant｜><｜User｜>B?<｜Assistant｜>")
        assert "<｜Assistant｜>Ho." not in text
        assert "<｜Assistant｜>Ho." in self.template().render(chat, training=True).text


class TestDeepSeek31(TemplateSuite):
    plugin = DeepSeek31


class TestDeepSeek32(TemplateSuite):
    plugin = DeepSeek32
    expected_differences = dict.fromkeys(
        (
            *("single", "multi_prompt", "system", "white", "tools", "tools_system", "tools_multi", "call_prompt"),
            *("call_beside", "parallel_prompt", "call_again", "thought_off"),
        ),
        "prompts end with </think>, as in DeepSeek's own encoder: what answers are trained behind",
    )


class TestDeepSeek4(TemplateSuite):
    plugin = DeepSeek4

    def test_thoughts_of_earlier_answers_are_kept_if_told_to(self) -> None:
        talk = CASES["thought_multi"].messages
        texts = [self.subject().template.render(talk, thinking=True, drop_thinking=drop).text for drop in (None, False)]
        assert ["They are many.</think>Nobody" in text for text in texts] == [False, True]
        assert all("So do I.</think>Good bye" in text for text in texts)


class TestDeepSeekCoder(TemplateSuite):
    plugin = DeepSeekCoder
