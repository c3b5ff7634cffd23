"""The templates of EXAONE against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_exaone import Exaone, Exaone4, ExaoneDeep


class TestExaone(TemplateSuite):
    plugin = Exaone


class TestExaoneDeep(TemplateSuite):
    plugin = ExaoneDeep


class TestExaone4(TemplateSuite):
    plugin = Exaone4
