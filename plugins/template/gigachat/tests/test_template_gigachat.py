"""The templates of GigaChat against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_gigachat import GigaChat3, GigaChat20B, GigaChat31


class TestGigaChat20B(TemplateSuite):
    plugin = GigaChat20B


class TestGigaChat3(TemplateSuite):
    plugin = GigaChat3


class TestGigaChat31(TemplateSuite):
    plugin = GigaChat31
