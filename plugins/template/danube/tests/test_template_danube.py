"""The templates of H2O Danube against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_danube import Danube


class TestDanube(TemplateSuite):
    plugin = Danube
