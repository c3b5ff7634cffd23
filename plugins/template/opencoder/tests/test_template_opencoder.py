"""The OpenCoder template against its official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_opencoder import OpenCoder


class TestOpenCoder(TemplateSuite):
    plugin = OpenCoder
