"""The formats of the GLM models.

An answer ends with the mark of the turn that follows it, `<|user|>` or `<|observation|>`. The official templates write
none behind the last answer, for they were written for prompts; for training these do, that the model learns to stop.
"""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking, ThinkingTemplate
from tunesmith_library_chat.calls import GLM, GLM4

_STOP = ("<|user|>", "<|observation|>")
_DROPPED = "thoughts before the last question are dropped"
_CODEGEEX = (
    "你是一位智能编程助手，你叫CodeGeeX。"
    "你会为用户回答关于编程、代码、计算机方面的任何问题，"
    "并提供格式规范、可以执行、准确安全的代码，并在必要时提供详细的解释。"
)
_PLAIN = {"before": "\n", "prompted": "", "prefix": "[gMASK]<sop>", "opened": ""}
_SEEN = {
    "image": "<|begin_of_image|><|image|><|end_of_image|>",
    "video": "<|begin_of_video|><|video|><|end_of_video|>",
}


@plugin
class ChatGLM2(FamilyTemplate):
    """ChatGLM2."""

    traits = TemplateFacts(
        name="chatglm2",
        file="rounds.jinja",
        models=(r"chatglm2",),
        stop=(),
        rewrites="only the last answer ends with the end of sequence",
        aliases={"codegeex2": ""},
        source="THUDM/chatglm2-6b",
    )


@plugin
class ChatGLM3(FamilyTemplate):
    """ChatGLM3."""

    traits = TemplateFacts(
        name="chatglm3",
        file="glm4.jinja",
        models=(r"chatglm3",),
        stop=_STOP,
        variables={**_PLAIN, "name": "ChatGLM3", "before": "\n ", "prefix": "[gMASK]sop"},
        source="THUDM/chatglm3-6b",
    )


@plugin
class CodeGeeX4(FamilyTemplate):
    """CodeGeeX4."""

    traits = TemplateFacts(
        name="codegeex4",
        file="glm4.jinja",
        models=(r"codegeex4",),
        stop=_STOP,
        default_system=_CODEGEEX,
        variables={**_PLAIN, "name": "CodeGeeX4", "prefix": "", "prompted": "\n", "standing_system": _CODEGEEX},
        source="THUDM/codegeex4-all-9b",
    )


@plugin
class GLM4Chat(FamilyTemplate):
    """GLM-4, with one call of a tool in a turn."""

    traits = TemplateFacts(
        name="glm4",
        file="glm4.jinja",
        models=(r"glm-?4-\d+",),
        stop=_STOP,
        calls=GLM4,
        variables={**_PLAIN, "name": "GLM-4", "tool_style": "glm4"},
        source="THUDM/glm-4-9b-chat",
    )


@plugin
class GLM40414(FamilyTemplate):
    """GLM-4-0414."""

    traits = TemplateFacts(
        name="glm4_0414",
        file="glm4.jinja",
        models=(
            r"glm-?4-0414",
            r"glm-4-\d+b-(base-)?0414",
        ),
        model_types=("glm4",),
        stop=_STOP,
        calls=GLM4,
        variables={**_PLAIN, "name": "GLM-4-0414", "tool_style": "0414"},
        source="THUDM/GLM-4-9B-0414",
    )


@plugin
class GLMZ1(ThinkingTemplate):
    """GLM-Z1-0414: prompts end with an open `<think>`."""

    traits = TemplateFacts(
        name="glmz1",
        file="glm4.jinja",
        models=(r"glm-z1(?!-rumination)",),
        stop=_STOP,
        calls=GLM4,
        thinking=Thinking(),
        variables={
            **_PLAIN,
            "name": "GLM-Z1",
            "tool_style": "z1",
            "trims": True,
            "prompted": "\n",
            "opened": "<think>",
        },
        rewrites="only the last answer keeps its thought",
        source="THUDM/GLM-Z1-9B-0414",
    )


@plugin
class GLMEdge(FamilyTemplate):
    """GLM-Edge."""

    traits = TemplateFacts(
        name="glm_edge",
        file="glm4.jinja",
        models=(r"glm-edge",),
        stop=_STOP,
        variables={**_PLAIN, "name": "GLM-Edge", "prefix": "", "prompted": "\n"},
        source="THUDM/glm-edge-4b-chat",
    )


@plugin
class GLMEdgeV(FamilyTemplate):
    """GLM-Edge-V, with pictures."""

    traits = TemplateFacts(
        name="glm_edge_v",
        file="glm_edge_v.jinja",
        models=(r"glm-edge-v",),
        stop=_STOP,
        media={"image": "<|begin_of_image|>"},
        system=False,
        source="THUDM/glm-edge-v-2b",
    )


@plugin
class GLM4V(FamilyTemplate):
    """GLM-4.1V, which writes its thoughts into its answers."""

    traits = TemplateFacts(
        name="glm4v",
        file="glm4.jinja",
        models=(r"glm-4\.1v",),
        model_types=("glm4v",),
        stop=_STOP,
        media=_SEEN,
        variables={**_PLAIN, "name": "GLM-4.1V", "prompted": "\n", "media": True},
        source="THUDM/GLM-4.1V-9B-Thinking",
    )


@plugin
class GLMOCR(FamilyTemplate):
    """GLM-OCR."""

    traits = TemplateFacts(
        name="glm_ocr",
        file="glm4.jinja",
        models=(r"glm-ocr",),
        model_types=("glm_ocr",),
        stop=_STOP,
        media=_SEEN,
        variables={**_PLAIN, "name": "GLM-OCR", "prompted": "\n", "media": True},
        source="zai-org/GLM-OCR",
    )


@plugin
class GLM4MoE(SwitchedTemplate):
    """GLM-4.5 and GLM-4.6."""

    traits = TemplateFacts(
        name="glm4_moe",
        file="glm4_5.jinja",
        models=(r"glm-4\.[56]",),
        stop=_STOP,
        calls=GLM,
        thinking=Thinking(switch="enable_thinking"),
        variables={"name": "GLM-4.5"},
        rewrites=_DROPPED,
        aliases={"glm4_5": "", "glm4_6": ""},
        source="zai-org/GLM-4.5",
    )


@plugin
class GLM45V(SwitchedTemplate):
    """GLM-4.5V and GLM-4.6V."""

    traits = TemplateFacts(
        name="glm4_5v",
        file="glm4_5.jinja",
        models=(r"glm-4\.[56]v",),
        model_types=("glm4v_moe",),
        stop=_STOP,
        calls=GLM,
        thinking=Thinking(switch="enable_thinking"),
        media=_SEEN,
        variables={"name": "GLM-4.5V", "media": True, "broken": True},
        rewrites=_DROPPED,
        source="zai-org/GLM-4.5V",
    )


@plugin
class GLM47(SwitchedTemplate):
    """GLM-4.7 and GLM-5."""

    traits = TemplateFacts(
        name="glm4_7",
        file="glm4_7.jinja",
        models=(
            r"glm-4\.7",
            r"glm-5(?!\.)",
        ),
        stop=_STOP,
        calls=GLM,
        thinking=Thinking(switch="enable_thinking"),
        variables={"version": 4.7},
        rewrites=_DROPPED,
        aliases={"glm5": ""},
        source="zai-org/GLM-4.7",
    )

    clear_thinking: bool | None = None  # false: write, and train, the thoughts of answers before the last question too


@plugin
class GLM51(GLM47):
    """GLM-5.1."""

    traits = TemplateFacts(
        name="glm5_1",
        file="glm4_7.jinja",
        models=(r"glm-5\.1",),
        stop=_STOP,
        calls=GLM,
        thinking=Thinking(switch="enable_thinking"),
        variables={"version": 5.1},
        rewrites=_DROPPED,
        source="zai-org/GLM-5.1",
    )


@plugin
class GLM52(GLM47):
    """GLM-5.2, which is told how hard to think."""

    traits = TemplateFacts(
        name="glm5_2",
        file="glm4_7.jinja",
        models=(r"glm-5\.2",),
        stop=_STOP,
        calls=GLM,
        thinking=Thinking(switch="enable_thinking"),
        variables={"version": 5.2},
        rewrites=_DROPPED,
        source="zai-org/GLM-5.2",
    )

    reasoning_effort: str | None = None  # high or max; null is max


@plugin
class GLM53(ThinkingTemplate):
    """GLM-5.3, which always thinks, is told how hard, and keeps the thoughts of every answer."""

    traits = TemplateFacts(
        name="glm5_3",
        file="glm4_7.jinja",
        models=(r"glm-5\.3(?!-flash)",),
        stop=_STOP,
        calls=GLM,
        thinking=Thinking(),
        variables={"version": 5.3},
        source="zai-org/GLM-5.3",
    )

    clear_thinking: bool | None = None  # true: the thoughts of answers before the last question are dropped
    reasoning_effort: str | None = None  # low, high or max; null is max
