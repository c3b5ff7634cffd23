"""The formats of the DeepSeek models.

The official templates of R1, V3.1 and later drop the thoughts of all answers, for they were written for conversations
that go on. For training these write the last answer's thought behind the prompt that asks for it: that of R1 always,
those of V3.1 and later with `enable_thinking=true`.
"""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking, ThinkingTemplate
from tunesmith_library_chat.calls import DEEPSEEK_3, DEEPSEEK_3_1, DEEPSEEK_3_2, DEEPSEEK_4

_STOP = ("<｜end▁of▁sentence｜>",)
_LAST = "only the last answer keeps its thought"
_CODER = (
    "You are an AI programming assistant, utilizing the Deepseek Coder model, developed by Deepseek Company, and you "
    "only answer questions related to computer science. For politically sensitive questions, security and privacy "
    "issues, and other non-computer science questions, you will refuse to answer\n"
)


@plugin
class DeepSeek(FamilyTemplate):
    """DeepSeek LLM, MoE, Math and V2, DeepSeek-Coder-V2."""

    traits = TemplateFacts(
        name="deepseek",
        file="deepseek.jinja",
        models=(r"deepseek-(llm|math-7b|moe|v2)", r"deepseek-(7|67)b", r"deepseek-coder-v2", r"deepseek-vl(?!-?2)"),
        stop=_STOP,
        source="deepseek-ai/DeepSeek-V2-Chat",
    )


@plugin
class DeepSeek2(FamilyTemplate):
    """DeepSeek-V2-Chat-0628."""

    traits = TemplateFacts(
        name="deepseek2",
        file="deepseek.jinja",
        models=(r"deepseek-v2-(chat-)?0628",),
        stop=_STOP,
        variables={"marks": True},
        source="deepseek-ai/DeepSeek-V2-Chat-0628",
    )


@plugin
class DeepSeek25(FamilyTemplate):
    """DeepSeek-V2.5: spaces precede a conversation with a system message."""

    traits = TemplateFacts(
        name="deepseek2_5",
        file="deepseek3.jinja",
        models=(r"deepseek-v2\.5",),
        stop=_STOP,
        calls=DEEPSEEK_3,
        variables={"opened": "", "indented": True},
        source="deepseek-ai/DeepSeek-V2.5",
    )


@plugin
class DeepSeek3(FamilyTemplate):
    """DeepSeek-V3, V3-0324 and Prover-V2."""

    traits = TemplateFacts(
        name="deepseek3",
        file="deepseek3.jinja",
        models=(r"deepseek-v?3", r"deepseek-prover-v2"),
        stop=_STOP,
        calls=DEEPSEEK_3,
        variables={"opened": ""},
        aliases={"deepseek_prover": ""},
        source="deepseek-ai/DeepSeek-V3-0324",
    )


@plugin
class DeepSeekR1(ThinkingTemplate):
    """DeepSeek-R1 and what is distilled from it: prompts end with an open `<think>`."""

    traits = TemplateFacts(
        name="deepseekr1",
        file="deepseek3.jinja",
        models=(r"deepseek-r1", r"skywork-or1-.*preview", r"qwenlong-l1"),
        stop=_STOP,
        calls=DEEPSEEK_3,
        thinking=Thinking(),
        variables={"opened": "<think>\n"},
        rewrites=_LAST,
        source="deepseek-ai/DeepSeek-R1",
    )


@plugin
class DeepSeekR10528(ThinkingTemplate):
    """DeepSeek-R1-0528 and its distilled Qwen3-8B, which open their thoughts themselves."""

    traits = TemplateFacts(
        name="deepseekr1_0528",
        file="deepseek3.jinja",
        models=(r"deepseek-r1-0528",),
        stop=_STOP,
        calls=DEEPSEEK_3,
        thinking=Thinking(),
        variables={"opened": "", "thinks": True, "asks": True},
        rewrites=_LAST,
        source="deepseek-ai/DeepSeek-R1-0528",
    )


@plugin
class DeepSeek31(SwitchedTemplate):
    """DeepSeek-V3.1, V3.1-Terminus and V3.2-Exp, which think only if told to."""

    traits = TemplateFacts(
        name="deepseek3_1",
        file="deepseek3_1.jinja",
        models=(r"deepseek-v3\.1", r"deepseek-v3\.2-exp"),
        stop=_STOP,
        calls=DEEPSEEK_3_1,
        thinking=Thinking(switch="thinking"),
        rewrites="with enable_thinking=true only answers behind the last question show their thoughts",
        aliases={"deepseek3_2_exp": ""},
        source="deepseek-ai/DeepSeek-V3.1",
    )


@plugin
class DeepSeek32(SwitchedTemplate):
    """DeepSeek-V3.2, which thinks only if told to."""

    traits = TemplateFacts(
        name="deepseek3_2",
        file="deepseek3_2.jinja",
        models=(r"deepseek-v3\.2",),
        stop=_STOP,
        calls=DEEPSEEK_3_2,
        thinking=Thinking(switch="thinking"),
        variables={"calls": "function_calls"},
        rewrites="with enable_thinking=true only answers behind the last question show their thoughts",
        source="deepseek-ai/DeepSeek-V3.2",
    )


@plugin
class DeepSeek4(SwitchedTemplate):
    """DeepSeek-V4, which thinks only if told to; `reasoning_effort=max` asks for more."""

    traits = TemplateFacts(
        name="deepseek4",
        file="deepseek3_2.jinja",
        models=(r"deepseek-v4",),
        stop=_STOP,
        calls=DEEPSEEK_4,
        thinking=Thinking(switch="thinking"),
        variables={"calls": "tool_calls", "fourth": True},
        rewrites="with enable_thinking=true and no tools only answers behind the last question show their thoughts",
        source="deepseek-ai/DeepSeek-V4",
    )

    drop_thinking: bool | None = None  # false: every answer keeps its thought
    reasoning_effort: str | None = None  # max asks for the longest thoughts; null says nothing


@plugin
class DeepSeekCoder(FamilyTemplate):
    """DeepSeek-Coder."""

    traits = TemplateFacts(
        name="deepseekcoder",
        file="deepseekcoder.jinja",
        models=(r"deepseek-coder-\d+",),
        stop=("<|EOT|>",),
        default_system=_CODER,
        source="deepseek-ai/deepseek-coder-6.7b-instruct",
    )
