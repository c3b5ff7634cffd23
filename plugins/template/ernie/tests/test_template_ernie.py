"""The ERNIE 4.5 templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_ernie import Ernie, ErnieNoThink, ErnieVL


class TestErnieNoThink(TemplateSuite):
    plugin = ErnieNoThink


class TestErnie(TemplateSuite):
    plugin = Ernie


class TestErnieVL(TemplateSuite):
    plugin = ErnieVL
