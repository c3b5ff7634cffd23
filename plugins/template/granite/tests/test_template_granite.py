"""The templates of Granite against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_granite import Granite3, Granite3Vision, Granite4, Granite30, Granite41, GraniteCode


class TestGranite3(TemplateSuite):
    plugin = Granite3


class TestGranite30(TemplateSuite):
    plugin = Granite30


class TestGranite4(TemplateSuite):
    plugin = Granite4


class TestGranite41(TemplateSuite):
    plugin = Granite41


class TestGraniteCode(TemplateSuite):
    plugin = GraniteCode


class TestGranite3Vision(TemplateSuite):
    plugin = Granite3Vision
