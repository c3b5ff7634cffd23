"""The templates of Laguna against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_laguna import Laguna


class TestLaguna(TemplateSuite):
    plugin = Laguna
