"""The templates of LFM2 against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_lfm import Lfm2, Lfm2Vl, Lfm25


class TestLfm2(TemplateSuite):
    plugin = Lfm2


class TestLfm25(TemplateSuite):
    plugin = Lfm25


class TestLfm2Vl(TemplateSuite):
    plugin = Lfm2Vl
