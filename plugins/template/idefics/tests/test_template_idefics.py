"""The templates of Idefics3 and SmolVLM against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_idefics import Idefics3, Smolvlm


class TestIdefics3(TemplateSuite):
    plugin = Idefics3


class TestSmolvlm(TemplateSuite):
    plugin = Smolvlm
