"""The templates of TinyLlama against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_tinyllama import Tinyllama


class TestTinyllama(TemplateSuite):
    plugin = Tinyllama
