"""The Ling and Ring templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_bailing import Bailing, BailingV2, Ling3, Ring2


class TestBailing(TemplateSuite):
    plugin = Bailing


class TestBailingV2(TemplateSuite):
    plugin = BailingV2


class TestRing2(TemplateSuite):
    plugin = Ring2


class TestLing3(TemplateSuite):
    plugin = Ling3
