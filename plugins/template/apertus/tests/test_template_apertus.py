"""The templates of Apertus against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_apertus import Apertus


class TestApertus(TemplateSuite):
    plugin = Apertus
