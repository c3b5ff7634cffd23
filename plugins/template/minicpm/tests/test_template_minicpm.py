"""The MiniCPM templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_minicpm import (
    MiniCPM3,
    MiniCPM4,
    MiniCPM5,
    MiniCPM52B,
    MiniCPMO,
    MiniCPMV,
    MiniCPMV25,
    MiniCPMV45,
    MiniCPMV46,
)


class TestMiniCPM3(TemplateSuite):
    plugin = MiniCPM3


class TestMiniCPM4(TemplateSuite):
    plugin = MiniCPM4


class TestMiniCPM5(TemplateSuite):
    plugin = MiniCPM5

    def test_thoughts_within_contents(self) -> None:
        """Earlier ones are dropped, and one behind the last question is the answer's own."""
        chat = [
            {"role": "user", "content": "A?"},
            {"role": "assistant", "content": "<think>\nAdd.\n</think>\n\n4"},
            {"role": "user", "content": "B?"},
            {"role": "assistant", "content": "<think>\nAgain.\n</think>\n\n6"},
        ]
        text = self.template().render(chat).text
        assert text.count("<think>") == 1
        assert "assistant\n4<|im_end|>" in text
        assert text.endswith("assistant\n<think>\nAgain.\n</think>\n\n6<|im_end|>\n")


class TestMiniCPM52B(TemplateSuite):
    plugin = MiniCPM52B


class TestMiniCPMV(TemplateSuite):
    plugin = MiniCPMV


class TestMiniCPMV25(TemplateSuite):
    plugin = MiniCPMV25


class TestMiniCPMV45(TemplateSuite):
    plugin = MiniCPMV45


class TestMiniCPMV46(TemplateSuite):
    plugin = MiniCPMV46


class TestMiniCPMO(TemplateSuite):
    plugin = MiniCPMO
