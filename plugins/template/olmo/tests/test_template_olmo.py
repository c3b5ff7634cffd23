"""The templates of OLMo against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_olmo import Olmo


class TestOlmo(TemplateSuite):
    plugin = Olmo
