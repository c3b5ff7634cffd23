"""The Step template against its official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_stepfun import Step35


class TestStep35(TemplateSuite):
    plugin = Step35

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
        assert text.endswith("assistant\n<think>\nAgain.\n</think>\n6<|im_end|>\n")
