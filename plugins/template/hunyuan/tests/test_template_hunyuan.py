"""The Hunyuan templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_hunyuan import Hunyuan, Hunyuan7B, HunyuanSmall, Hy3, Hy3Preview, HyDense


class TestHunyuan(TemplateSuite):
    plugin = Hunyuan


class TestHunyuan7B(TemplateSuite):
    plugin = Hunyuan7B


class TestHunyuanSmall(TemplateSuite):
    plugin = HunyuanSmall


class TestHyDense(TemplateSuite):
    plugin = HyDense


class TestHy3(TemplateSuite):
    plugin = Hy3


class TestHy3Preview(TemplateSuite):
    plugin = Hy3Preview
