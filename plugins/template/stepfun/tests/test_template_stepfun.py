"""The Step template against its official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_stepfun import Step35, Step37


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


class TestStep37(TemplateSuite):
    plugin = Step37

    def test_effort(self) -> None:
        """It has a system turn to itself where there is none, and precedes what the system message says."""
        made = self.template().with_variables(reasoning_effort="low")
        chat = [{"role": "user", "content": "A?"}]
        assert "<|im_start|>system\nReasoning: low\n\n<|im_end|>\n<|im_start|>user" in made.render(chat).text
        told = made.render([{"role": "system", "content": "Be brief."}, *chat]).text
        assert "<|im_start|>system\nReasoning: low\n\nBe brief.<|im_end|>" in told
