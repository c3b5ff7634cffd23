"""The gpt-oss templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_gpt_oss import GptOss


class TestGptOss(TemplateSuite):
    plugin = GptOss
