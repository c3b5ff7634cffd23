"""The CogVLM templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_cogvlm import CogAgent, CogVLM2


class TestCogVLM2(TemplateSuite):
    plugin = CogVLM2


class TestCogAgent(TemplateSuite):
    plugin = CogAgent
