"""The templates of StarCoder2 against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_starcoder import Starcoder2


class TestStarcoder2(TemplateSuite):
    plugin = Starcoder2
