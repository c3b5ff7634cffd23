"""The templates of Apriel against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_apriel import Apriel, Apriel16


class TestApriel(TemplateSuite):
    plugin = Apriel


class TestApriel16(TemplateSuite):
    plugin = Apriel16
