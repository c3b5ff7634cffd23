"""The Spark template against its official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_spark import Spark25


class TestSpark25(TemplateSuite):
    plugin = Spark25
    variables = {"enable_thinking": False}  # an answer without a thought is written as to a prompt without one
