"""The Yi templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_yi import Yi, Yi15, YiCoder


class TestYi(TemplateSuite):
    plugin = Yi

    def test_further_system_messages_are_turns(self) -> None:
        chat = [{"role": "system", "content": "A."}, {"role": "system", "content": "B."}]
        system = "<|im_start|>system\n{}<|im_end|>\n"
        assert self.template().render(chat).text == system.format("A.") + system.format("B.")


class TestYi15(TemplateSuite):
    plugin = Yi15

    def test_the_prompt_stands_behind_every_question_but_for_training(self) -> None:
        """As officially, even where nobody answers or nobody asked."""
        chat = [
            {"role": role, "content": content}
            for role, content in (("assistant", "Ho."), ("user", "Hi?"), ("user", "You?"))
        ]
        head, asked = "<|im_start|>assistant\n", "<|im_start|>user\nHi?<|im_end|>\n"
        text = self.template().render(chat, add_generation_prompt=True).text
        assert text == f"Ho.<|im_end|>\n{asked}{head}<|im_start|>user\nYou?<|im_end|>\n{head}"
        assert self.template().render(chat[:2], training=True).text == f"{head}Ho.<|im_end|>\n{asked}"


class TestYiCoder(TemplateSuite):
    plugin = YiCoder
