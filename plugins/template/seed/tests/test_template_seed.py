"""The Seed templates against their official renderings."""

from tunesmith_library_chat.conversations import CASES
from tunesmith_library_testing import TemplateSuite
from tunesmith_template_seed import SeedCoder, SeedOSS


class TestSeedCoder(TemplateSuite):
    plugin = SeedCoder


class TestSeedOSS(TemplateSuite):
    plugin = SeedOSS

    def test_a_tool_without_parameters(self) -> None:
        function = {"name": "now", "description": "Time.", "parameters": {"type": "object", "properties": {}}}
        text = (
            self.template()
            .render([{"role": "user", "content": "Hi"}], [{"type": "function", "function": function}])
            .text
        )
        assert 'def now():\n    """\n    Time.\n\n\n\n    """\n' in text

    def test_a_parameter_of_several_types(self) -> None:
        parameters = {"type": "object", "properties": {"dry": {"type": ["boolean", "null"]}, "at": {"type": "string"}}}
        tool = {"type": "function", "function": {"name": "wash", "description": "", "parameters": parameters}}
        text = self.template().render([{"role": "user", "content": "Hi"}], [tool]).text
        assert "def wash(dry: Any,at: str):" in text

    def test_a_budget_of_thought_is_told_on_a_line(self) -> None:
        """Behind the conversation's own system message, how often it reflects by how much it may think."""
        talk = CASES["system"].messages
        for budget, every in ((500, 128), (3000, 512), (20000, 1024)):
            text = self.subject().template.render(talk, thinking_budget=budget).text
            own, told = text.split("<seed:eos>")[:2]
            assert own == "<seed:bos>system\nSpeak like a sailor."
            assert f"the thinking budget, which is {budget}." in told and f"every {every} tokens" in told
            assert told.endswith("how many are left.\n")
