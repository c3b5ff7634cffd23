"""The dots templates against the official format."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_dots import Dots1, DotsOCR


class TestDotsOCR(TemplateSuite):
    plugin = DotsOCR


class TestDots1(TemplateSuite):
    plugin = Dots1
