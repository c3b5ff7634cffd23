"""The Aeva template keeps to what every template keeps to."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_aeva import Aeva


class TestAeva(TemplateSuite):
    plugin = Aeva
