"""The Step template against its official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_stepfun import Step35


class TestStep35(TemplateSuite):
    plugin = Step35
