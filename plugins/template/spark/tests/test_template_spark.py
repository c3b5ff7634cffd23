"""The Spark template against its official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_spark import Spark25


class TestSpark25(TemplateSuite):
    plugin = Spark25
