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
    expected_differences = {
        "single_answer": "ours ends an answer, which the official text does not, so that it is learnt",
        "multi": "ours ends an answer, which the official text does not, so that it is learnt",
        "multi_prompt": "ours ends an answer, which the official text does not, so that it is learnt",
        "white": "ours ends an answer, which the official text does not, so that it is learnt",
        "thought_off_answer": "ours ends an answer, which the official text does not, so that it is learnt",
        "system_multi": "ours ends an answer, which the official text does not, so that it is learnt",
        "system": "the system message is written, officially it is dropped",
    }


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
