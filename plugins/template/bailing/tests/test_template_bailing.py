"""The Ling and Ring templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_bailing import Bailing, BailingV2, Ling3, Ring2

ENDED = "the official template writes nothing behind the last answer; ours ends it, to train where to stop"


class TestBailing(TemplateSuite):
    plugin = Bailing
    expected_differences = dict.fromkeys(("single_answer", "multi", "system_multi", "thought_off_answer"), ENDED)


class TestBailingV2(TemplateSuite):
    plugin = BailingV2


class TestRing2(TemplateSuite):
    plugin = Ring2


class TestLing3(TemplateSuite):
    plugin = Ling3
