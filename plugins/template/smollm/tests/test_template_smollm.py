"""The templates of SmolLM against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_smollm import Smollm, Smollm2, Smollm3


class TestSmollm(TemplateSuite):
    plugin = Smollm


class TestSmollm2(TemplateSuite):
    plugin = Smollm2


class TestSmollm3(TemplateSuite):
    plugin = Smollm3
