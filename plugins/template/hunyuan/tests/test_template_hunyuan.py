"""The Hunyuan templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_hunyuan import Hunyuan, HunyuanSmall, Hy3, Hy3Preview, HyDense


class TestHunyuan(TemplateSuite):
    plugin = Hunyuan


class TestHunyuanSmall(TemplateSuite):
    plugin = HunyuanSmall


class TestHyDense(TemplateSuite):
    plugin = HyDense


class TestHy3(TemplateSuite):
    plugin = Hy3


class TestHy3Preview(TemplateSuite):
    plugin = Hy3Preview
