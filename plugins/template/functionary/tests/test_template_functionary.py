"""The templates of Functionary against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_functionary import Functionary


class TestFunctionary(TemplateSuite):
    plugin = Functionary
