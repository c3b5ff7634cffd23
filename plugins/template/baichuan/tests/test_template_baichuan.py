"""The Baichuan-M2 template against its official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_baichuan import BaichuanM2


class TestBaichuanM2(TemplateSuite):
    plugin = BaichuanM2
