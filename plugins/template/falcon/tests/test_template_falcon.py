"""The templates of Falcon against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_falcon import Falcon, Falcon2, Falcon3, Falcon180BChat, FalconH1

TALK = [
    {"role": "user", "content": "Hi?"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "So?"},
    {"role": "assistant", "content": "No."},
]


class TestFalcon(TemplateSuite):
    plugin = Falcon

    def test_turns(self) -> None:
        """An end stands behind the answer that is trained, and nowhere else."""
        template = self.subject().template
        text = template.render(TALK[:3], add_generation_prompt=True).text
        assert text == "\n\nUser: Hi?\n\nAssistant: Yes.\n\nUser: So?\n\nAssistant:"
        assert template.render(TALK, training=True).text == f"{text} No.<|endoftext|>"


class TestFalcon180BChat(TemplateSuite):
    plugin = Falcon180BChat

    def test_turns(self) -> None:
        """As FastChat's `falcon-chat` writes them."""
        template = self.subject().template
        talk = [{"role": "system", "content": "Hm."}, *TALK]
        text = template.render(talk[:4], add_generation_prompt=True).text
        assert text == "System: Hm.\nUser: Hi?\nFalcon: Yes.\nUser: So?\nFalcon:"
        assert template.render(talk, training=True).text == f"{text} No.</s>\n"


class TestFalcon2(TemplateSuite):
    plugin = Falcon2


class TestFalcon3(TemplateSuite):
    plugin = Falcon3


class TestFalconH1(TemplateSuite):
    plugin = FalconH1
