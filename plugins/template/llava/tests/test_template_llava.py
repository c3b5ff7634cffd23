"""The templates of LLaVA against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_llava import (
    Llava,
    LlavaNext,
    LlavaNextLlama3,
    LlavaNextMistral,
    LlavaNextQwen,
    LlavaNextVideo,
    LlavaNextYi,
    VideoLlava,
)


class TestLlava(TemplateSuite):
    plugin = Llava


class TestVideoLlava(TemplateSuite):
    plugin = VideoLlava


class TestLlavaNext(TemplateSuite):
    plugin = LlavaNext


class TestLlavaNextVideo(TemplateSuite):
    plugin = LlavaNextVideo


class TestLlavaNextMistral(TemplateSuite):
    plugin = LlavaNextMistral


class TestLlavaNextLlama3(TemplateSuite):
    plugin = LlavaNextLlama3


class TestLlavaNextQwen(TemplateSuite):
    plugin = LlavaNextQwen


class TestLlavaNextYi(TemplateSuite):
    plugin = LlavaNextYi
