"""The TeleChat templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_telechat import TeleChat, TeleChat2


class TestTeleChat(TemplateSuite):
    plugin = TeleChat


class TestTeleChat2(TemplateSuite):
    plugin = TeleChat2
