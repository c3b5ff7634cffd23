"""The Youtu templates keep to what every template keeps to."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_youtu import Youtu, YoutuVL


class TestYoutu(TemplateSuite):
    plugin = Youtu


class TestYoutuVL(TemplateSuite):
    plugin = YoutuVL
