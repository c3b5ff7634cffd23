"""The gpt-oss templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_gpt_oss import GptOss


class TestGptOss(TemplateSuite):
    plugin = GptOss

    def test_parameters_within_parameters(self) -> None:
        """With the white space that the official text has before their types."""
        inner = {"type": "object", "properties": {"deep": {"type": "boolean"}}, "required": ["deep"]}
        tool = {"name": "now", "description": "Time.", "parameters": {"type": "object", "properties": {"more": inner}}}
        text = (
            self.template().render([{"role": "user", "content": "Hi"}], [{"type": "function", "function": tool}]).text
        )
        assert "type now = (_: {\nmore?: {\ndeep: \n                boolean},\n}) => any;" in text
