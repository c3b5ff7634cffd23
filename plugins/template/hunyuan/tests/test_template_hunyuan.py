"""The Hunyuan templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_hunyuan import Hunyuan, Hunyuan7B, HunyuanSmall, Hy3, Hy3Preview, HyDense

TURNS = (
    "用户：Hi?<|extra_0|>助手：Yes.<|eos|>用户：Weather?<|extra_0|>"
    '<tool_calls>[{"name": "get_weather", "arguments": {"city": "Beijing"}}, '
    '{"name": "get_weather", "arguments": {"city": "ShangHai"}}]</tool_calls><|eos|>'
    '<tool_response>[{"weather": "sunny"}]</tool_response><|extra_0|>助手：Sunny.<|eos|>用户：Shenzhen<|extra_0|>'
)


class TestHunyuan(TemplateSuite):
    plugin = Hunyuan

    def test_tools_are_told_as_published(self) -> None:
        """As the guide to agents in Tencent-Hunyuan/Hunyuan-A13B writes them, with a system message and without one."""
        tool = {"type": "function", "function": {"name": "get_weather", "description": "Ability"}}
        calls = [
            {"type": "function", "function": {"name": "get_weather", "arguments": {"city": city}}}
            for city in ("Beijing", "ShangHai")
        ]
        talk = [
            {"role": "user", "content": "Hi?"},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": "", "tool_calls": calls},
            {"role": "tool", "content": '[{"weather": "sunny"}]'},
            {"role": "assistant", "content": "Sunny."},
            {"role": "user", "content": "Shenzhen"},
        ]
        text = self.template().render(talk, [tool], add_generation_prompt=True).text
        listed = '\n\n[{"type": "function", "function": {"name": "get_weather", "description": "Ability"}}]\n\n'
        head, _, tail = text.partition(listed)
        assert head.startswith("<|startoftext|>你是一位函数组合专家。") and head.endswith("函数列表，格式为JSON。")
        asked = "否则，请参考开头说的三种情况，以助手：开头进行回复。\n\n"
        assert tail.startswith("如果你决定返回函数调用") and tail.endswith(
            f"不得包含其他文本。\n{asked}当前时间：2026-01-02 00:00:00 星期五<|extra_4|>{TURNS}"
        )
        system = [{"role": "system", "content": "You are a weather agent."}, *talk]
        text = self.template().render(system, [tool], add_generation_prompt=True).text
        assert text.startswith(f"{head}{listed}额外要求：\nYou are a weather agent.\n\n如果你决定返回函数调用")
        assert text.endswith(
            f"不得包含其他文本。如果额外要求里有格式要求，请忽略，以此处为准。\n{asked}如果额外要求里有时间信息，"
            f"就以额外要求里的时间为准，否则，参考当前时间：2026-01-02 00:00:00 星期五<|extra_4|>{TURNS}"
        )

    def test_thoughts_are_apart_from_what_is_said(self) -> None:
        talk = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yes.", "reasoning": "Greet."}]
        text = self.template().render(talk, training=True).text
        assert text.endswith("<|extra_0|><think>\nGreet.\n</think>\n<answer>\nYes.\n</answer><|eos|>")
        assert self.template().render(talk).text.endswith("<|extra_0|>Yes.<|eos|>")


class TestHunyuan7B(TemplateSuite):
    plugin = Hunyuan7B


class TestHunyuanSmall(TemplateSuite):
    plugin = HunyuanSmall


class TestHyDense(TemplateSuite):
    plugin = HyDense


class TestHy3(TemplateSuite):
    plugin = Hy3


class TestHy3Preview(TemplateSuite):
    plugin = Hy3Preview
