"""The templates of Phi against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_phi import (
    Phi,
    Phi3,
    Phi3Medium,
    Phi3Mini2024,
    Phi3Vision,
    Phi4,
    Phi4Mini,
    Phi4Reasoning,
    PhiSmall,
)


class TestPhi(TemplateSuite):
    plugin = Phi


class TestPhi3(TemplateSuite):
    plugin = Phi3

    def test_an_empty_system_message_is_a_turn(self) -> None:
        """Where Phi-3.5 leaves it out, which asks for its content too."""
        talk = [{"role": "system", "content": ""}, {"role": "user", "content": "A"}]
        text = "<|user|>\nA<|end|>\n<|assistant|>\n"
        assert self.template().render(talk, add_generation_prompt=True).text == "<|system|>\n<|end|>\n" + text
        assert TestPhi().template().render(talk, add_generation_prompt=True).text == text


class TestPhi3Medium(TemplateSuite):
    plugin = Phi3Medium


class TestPhi3Mini2024(TemplateSuite):
    plugin = Phi3Mini2024


class TestPhiSmall(TemplateSuite):
    plugin = PhiSmall


class TestPhi3Vision(TemplateSuite):
    plugin = Phi3Vision


class TestPhi4(TemplateSuite):
    plugin = Phi4


class TestPhi4Reasoning(TemplateSuite):
    plugin = Phi4Reasoning


class TestPhi4Mini(TemplateSuite):
    plugin = Phi4Mini
