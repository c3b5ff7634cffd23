"""The templates of Falcon against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_falcon import Falcon, Falcon2, Falcon3, FalconH1


class TestFalcon(TemplateSuite):
    plugin = Falcon


class TestFalcon2(TemplateSuite):
    plugin = Falcon2


class TestFalcon3(TemplateSuite):
    plugin = Falcon3


class TestFalconH1(TemplateSuite):
    plugin = FalconH1
