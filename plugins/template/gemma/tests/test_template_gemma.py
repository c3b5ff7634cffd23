"""The templates of Gemma and PaliGemma against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_gemma import (
    DiffusionGemma,
    Gemma,
    Gemma3,
    Gemma3n,
    Gemma4,
    Gemma431B,
    PaliGemma,
    PaliGemmaChat,
)


class TestGemma(TemplateSuite):
    plugin = Gemma


class TestGemma3(TemplateSuite):
    plugin = Gemma3


class TestGemma3n(TemplateSuite):
    plugin = Gemma3n


class TestPaliGemmaChat(TemplateSuite):
    plugin = PaliGemmaChat


class TestPaliGemma(TemplateSuite):
    plugin = PaliGemma


class TestGemma4(TemplateSuite):
    plugin = Gemma4


class TestGemma431B(TemplateSuite):
    plugin = Gemma431B


class TestDiffusionGemma(TemplateSuite):
    plugin = DiffusionGemma
