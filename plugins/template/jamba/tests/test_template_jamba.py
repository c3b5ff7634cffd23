"""The templates of Jamba against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_jamba import Jamba


class TestJamba(TemplateSuite):
    plugin = Jamba
