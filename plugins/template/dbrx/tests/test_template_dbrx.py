"""The templates of DBRX against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_dbrx import Dbrx


class TestDbrx(TemplateSuite):
    plugin = Dbrx
