"""The templates of Laguna against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_laguna import Laguna, LagunaXS2, LagunaXS21


class TestLaguna(TemplateSuite):
    plugin = Laguna


class TestLagunaXS2(TemplateSuite):
    plugin = LagunaXS2


class TestLagunaXS21(TemplateSuite):
    plugin = LagunaXS21
