"""The InternLM templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_internlm import Intern, Intern2, InternS1, InternVL, InternVL3


class TestIntern(TemplateSuite):
    plugin = Intern


class TestIntern2(TemplateSuite):
    plugin = Intern2


class TestInternVL(TemplateSuite):
    plugin = InternVL


class TestInternVL3(TemplateSuite):
    plugin = InternVL3


class TestInternS1(TemplateSuite):
    plugin = InternS1
