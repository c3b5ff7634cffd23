"""The templates of Gorilla against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_gorilla import Gorilla


class TestGorilla(TemplateSuite):
    plugin = Gorilla
