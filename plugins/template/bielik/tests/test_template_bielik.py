"""The templates of Bielik against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_bielik import Bielik


class TestBielik(TemplateSuite):
    plugin = Bielik
