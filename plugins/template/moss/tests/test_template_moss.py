"""The MOSS templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_moss import Moss, MossVL


class TestMoss(TemplateSuite):
    plugin = Moss


class TestMossVL(TemplateSuite):
    plugin = MossVL
