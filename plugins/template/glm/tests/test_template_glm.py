"""The the GLM models templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_glm import (
    GLM4V,
    GLM45V,
    GLM47,
    GLM51,
    GLM52,
    GLM40414,
    GLMOCR,
    GLMZ1,
    ChatGLM2,
    ChatGLM3,
    CodeGeeX4,
    GLM4Chat,
    GLM4MoE,
    GLMEdge,
)

_ENDED = "the last answer ends with the mark of the turn that follows, that the model learns to stop"
_PLAIN = ("single_answer", "multi", "system_multi", "thought_off_answer")
_CALLS = ("call", "call_last", "parallel", "thought", "thought_multi")
_OPENED = ("call_prompt", "call_beside", "parallel_prompt")


class TestChatGLM2(TemplateSuite):
    plugin = ChatGLM2


class TestChatGLM3(TemplateSuite):
    plugin = ChatGLM3
    expected_differences = dict.fromkeys(_PLAIN, _ENDED)


class TestCodeGeeX4(TemplateSuite):
    plugin = CodeGeeX4
    expected_differences = dict.fromkeys(_PLAIN, _ENDED)


class TestGLM4Chat(TemplateSuite):
    plugin = GLM4Chat
    expected_differences = dict.fromkeys(_PLAIN, _ENDED)


class TestGLM40414(TemplateSuite):
    plugin = GLM40414
    expected_differences = dict.fromkeys(_PLAIN, _ENDED) | dict.fromkeys(
        ("call", "call_last", "call_prompt", "call_beside", "parallel", "parallel_prompt", "call_again"),
        "the official template leaves calls and the results of tools out, or the model writes no such turn",
    )


class TestGLMZ1(TemplateSuite):
    plugin = GLMZ1


class TestGLMEdge(TemplateSuite):
    plugin = GLMEdge
    expected_differences = dict.fromkeys(_PLAIN, _ENDED)


class TestGLM4V(TemplateSuite):
    plugin = GLM4V
    expected_differences = dict.fromkeys(_PLAIN, _ENDED)


class TestGLMOCR(TemplateSuite):
    plugin = GLMOCR


class TestGLM4MoE(TemplateSuite):
    plugin = GLM4MoE
    expected_differences = dict.fromkeys((*_PLAIN, *_CALLS), _ENDED)


class TestGLM45V(TemplateSuite):
    plugin = GLM45V
    expected_differences = dict.fromkeys((*_PLAIN, *_CALLS), _ENDED)


class TestGLM47(TemplateSuite):
    plugin = GLM47
    expected_differences = dict.fromkeys((*_PLAIN, *_CALLS), _ENDED) | dict.fromkeys(
        _OPENED, "answers stand behind the <think> of the prompt that asks for them"
    )


class TestGLM51(TemplateSuite):
    plugin = GLM51
    expected_differences = dict.fromkeys((*_PLAIN, *_CALLS), _ENDED)


class TestGLM52(TemplateSuite):
    plugin = GLM52
    expected_differences = dict.fromkeys((*_PLAIN, *_CALLS), _ENDED)
