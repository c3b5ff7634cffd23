"""The gpt-oss templates against their official renderings."""

from tunesmith_library_chat import conformance
from tunesmith_library_testing import TemplateSuite
from tunesmith_template_gpt_oss import GptOss


class TestGptOss(TemplateSuite):
    plugin = GptOss
    deviations = {"test_calls_are_read_back": "text before a call is written, and read, as a thought"}
    expected_differences = dict.fromkeys(
        ("parallel", "parallel_prompt"), "the official template leaves all calls but the first out; ours refuses them"
    )

    def test_calls_are_read_back(self) -> None:
        """Text before a call is written as a thought, as the official template has it, and read as one."""
        findings = [item for item in conformance.calls_are_read_back(self.subject()) if item.case != "call_beside"]
        assert not findings, "\n".join(map(str, findings))
