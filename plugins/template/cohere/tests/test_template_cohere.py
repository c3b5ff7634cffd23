"""The templates of Command and Aya against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_cohere import Cohere, CommandA, CommandR7B, North, TinyAya


class TestCohere(TemplateSuite):
    plugin = Cohere


class TestCommandA(TemplateSuite):
    plugin = CommandA


class TestCommandR7B(TemplateSuite):
    plugin = CommandR7B


class TestNorth(TemplateSuite):
    plugin = North


class TestTinyAya(TemplateSuite):
    plugin = TinyAya

    def test_an_empty_system_message_is_a_turn(self) -> None:
        text = self.template().render([{"role": "system", "content": ""}, {"role": "user", "content": "Hi"}]).text
        assert "<|SYSTEM_TOKEN|><|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hi" in text
