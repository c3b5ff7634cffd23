"""The templates of Apriel against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_apriel import Apriel


class TestApriel(TemplateSuite):
    plugin = Apriel
