"""The templates of the GLM models against their official renderings."""

from tunesmith_library_chat.conversations import CASES
from tunesmith_library_testing import TemplateSuite
from tunesmith_template_glm import (
    GLM4V,
    GLM45V,
    GLM47,
    GLM51,
    GLM52,
    GLM53,
    GLM40414,
    GLMOCR,
    GLMZ1,
    ChatGLM2,
    ChatGLM3,
    CodeGeeX4,
    GLM4Chat,
    GLM4MoE,
    GLMEdge,
    GLMEdgeV,
)

_CALLS = ("call", "call_last", "call_prompt", "call_beside", "parallel", "parallel_prompt", "call_again")
_LEFT_OUT = "the official template leaves calls and the results of tools out, or the model writes no such turn"


class TestChatGLM2(TemplateSuite):
    plugin = ChatGLM2


class TestChatGLM3(TemplateSuite):
    plugin = ChatGLM3


class TestCodeGeeX4(TemplateSuite):
    plugin = CodeGeeX4


class TestGLM4Chat(TemplateSuite):
    plugin = GLM4Chat


class TestGLM40414(TemplateSuite):
    plugin = GLM40414
    expected_differences = dict.fromkeys(_CALLS, _LEFT_OUT)


class TestGLMZ1(TemplateSuite):
    plugin = GLMZ1
    expected_differences = dict.fromkeys(_CALLS, _LEFT_OUT)


class TestGLMEdge(TemplateSuite):
    plugin = GLMEdge


class TestGLM4V(TemplateSuite):
    plugin = GLM4V


class TestGLMOCR(TemplateSuite):
    plugin = GLMOCR


class TestGLM4MoE(TemplateSuite):
    plugin = GLM4MoE


class TestGLM45V(TemplateSuite):
    plugin = GLM45V


class TestGLM47(TemplateSuite):
    plugin = GLM47


class TestGLM51(TemplateSuite):
    plugin = GLM51


class TestGLM52(TemplateSuite):
    plugin = GLM52


class TestGLM53(TemplateSuite):
    plugin = GLM53

    def test_results_of_tools_stand_in_the_order_of_the_calls(self) -> None:
        """Where each result names a call of the turn before it; else they stay as they are."""
        talk = CASES["parallel"].messages
        asked, (waves, noon) = talk[:2], talk[2:4]
        first, second = '<tool_response>{"waves": 7042}</tool_response>', "<tool_response>noon</tool_response>"
        for results, text in (
            ((noon, waves), first + second),
            (({**noon, "tool_call_id": "other"}, waves), second + first),
        ):
            rendered = self.subject().template.render([*asked, *results])
            assert rendered.text.endswith(f"<|observation|>{text}")


class TestGLMEdgeV(TemplateSuite):
    plugin = GLMEdgeV
