"""The gpt-oss templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_gpt_oss import GptOss


class TestGptOss(TemplateSuite):
    plugin = GptOss
    expected_differences = dict.fromkeys(
        ("parallel", "parallel_prompt"), "the official template leaves all calls but the first out; ours refuses them"
    )
