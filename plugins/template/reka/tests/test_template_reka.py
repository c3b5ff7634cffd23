"""The template of Reka Edge against its official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_reka import RekaEdge


class TestRekaEdge(TemplateSuite):
    plugin = RekaEdge
