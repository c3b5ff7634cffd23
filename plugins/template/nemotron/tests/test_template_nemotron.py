"""The templates of Nemotron against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_nemotron import Nemotron3, Nemotron3Ultra, NemotronH, NemotronNano2, NemotronSuper


class TestNemotronH(TemplateSuite):
    plugin = NemotronH


class TestNemotronNano2(TemplateSuite):
    plugin = NemotronNano2


class TestNemotronSuper(TemplateSuite):
    plugin = NemotronSuper


class TestNemotron3(TemplateSuite):
    plugin = Nemotron3


class TestNemotron3Ultra(TemplateSuite):
    plugin = Nemotron3Ultra
