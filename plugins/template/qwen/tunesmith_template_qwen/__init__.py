"""The formats of the Qwen language models: ChatML turns, tools in the system turn, calls in `<tool_call>` blocks.

Qwen3 thinks in `<think>` blocks. Its template drops the thoughts of answers before the last question, and writes an
empty block where the last answer has none; the models released in July 2025 (2507) always think, or never.
"""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking, ThinkingTemplate
from tunesmith_library_chat.calls import HERMES, QWEN_XML

_HELPFUL = "You are a helpful assistant."
_QWEN = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
_MATH = "Please reason step by step, and put your final answer within \\boxed{}."
_DROPPED = "thoughts before the last question are dropped"


@plugin
class Qwen(FamilyTemplate):
    """Qwen2.5."""

    traits = TemplateFacts(
        name="qwen",
        file="qwen.jinja",
        models=(r"qwen2\.5", r"qwq-32b-preview", r"kimi-dev"),
        stop=("<|im_end|>",),
        default_system=_QWEN,
        calls=HERMES,
        variables={"standing_system": _QWEN},
        aliases={"qwen2_5": ""},
        source="Qwen/Qwen2.5-7B-Instruct",
    )


@plugin
class Qwen25Long(FamilyTemplate):
    """Qwen2.5-1M, for a million tokens."""

    traits = TemplateFacts(
        name="qwen2_5_1m",
        file="qwen.jinja",
        models=(r"qwen2\.5-\d+b-instruct-1m", r"vibethinker"),
        stop=("<|im_end|>",),
        default_system=_HELPFUL,
        calls=HERMES,
        variables={"standing_system": _HELPFUL},
        source="Qwen/Qwen2.5-7B-Instruct-1M",
    )


@plugin
class Qwen25Math(FamilyTemplate):
    """Qwen2.5-Math."""

    traits = TemplateFacts(
        name="qwen2_5_math",
        file="qwen.jinja",
        models=(r"qwen2\.5-math",),
        stop=("<|im_end|>",),
        default_system=_MATH,
        calls=HERMES,
        variables={"standing_system": _MATH},
        source="Qwen/Qwen2.5-Math-7B-Instruct",
    )


@plugin
class Qwen2(FamilyTemplate):
    """Qwen1, 1.5 and 2."""

    traits = TemplateFacts(
        name="qwen2",
        file="qwen2.jinja",
        models=(r"qwen2-", r"qwen1\.5", r"codeqwen", r"qwen-(1[._]8|7|14|72)b"),
        stop=("<|im_end|>",),
        default_system=_HELPFUL,
        calls=HERMES,
        variables={"standing_system": _HELPFUL},
        aliases={"qwen1_5": ""},
        source="Qwen/Qwen2-7B-Instruct",
    )


@plugin
class Qwen15Base(FamilyTemplate):
    """The base models of Qwen1.5, whose system message has no full stop."""

    traits = TemplateFacts(
        name="qwen1_5_base",
        file="chatml.jinja",
        models=(r"(?:code)?qwen1\.5-(moe-a)?[\d.]+b$",),
        stop=("<|im_end|>",),
        default_system=_HELPFUL[:-1],
        variables={"standing_system": _HELPFUL[:-1], "name": "Qwen1.5", "user": "user", "assistant": "assistant"},
        source="Qwen/Qwen1.5-0.5B",
    )


@plugin
class QwQ(ThinkingTemplate):
    """QwQ-32B, which always thinks: prompts end with an open `<think>`."""

    traits = TemplateFacts(
        name="qwq",
        file="qwq.jinja",
        models=(r"qwq-32b",),
        stop=("<|im_end|>",),
        calls=HERMES,
        thinking=Thinking(),
        rewrites="only the last answer keeps its thought",
        source="Qwen/QwQ-32B",
    )


@plugin
class Qwen3(SwitchedTemplate):
    """Qwen3, the hybrid models of April 2025, which think or do not."""

    traits = TemplateFacts(
        name="qwen3",
        file="qwen3.jinja",
        models=(r"qwen3-\d+", r"qwen-agentworld"),
        model_types=("qwen3", "qwen3_moe"),
        stop=("<|im_end|>",),
        calls=HERMES,
        thinking=Thinking(switch="enable_thinking"),
        rewrites=_DROPPED,
        source="Qwen/Qwen3-8B",
    )

    preserve_thinking: bool | None = None  # write, and train, the thoughts of answers before the last question too


@plugin
class Qwen3NoThink(FamilyTemplate):
    """Qwen3 Instruct-2507, which never thinks: the reasoning of a message is left out."""

    traits = TemplateFacts(
        name="qwen3_nothink",
        file="qwen3.jinja",
        models=(r"qwen3-\d.*instruct-2507", r"qwen3-next-.*instruct", r"qwen3-next"),
        stop=("<|im_end|>",),
        calls=HERMES,
        variables={"thinking": "never"},
        source="Qwen/Qwen3-4B-Instruct-2507",
    )


@plugin
class Qwen3Thinking(ThinkingTemplate):
    """Qwen3 Thinking-2507, which always thinks: prompts end with an open `<think>`."""

    traits = TemplateFacts(
        name="qwen3_thinking",
        file="qwen3.jinja",
        models=(r"qwen3-\d.*thinking-2507", r"qwen3-next-.*thinking"),
        stop=("<|im_end|>",),
        calls=HERMES,
        thinking=Thinking(),
        variables={"thinking": "always"},
        rewrites=_DROPPED,
        source="Qwen/Qwen3-4B-Thinking-2507",
    )

    preserve_thinking: bool | None = None  # write, and train, the thoughts of answers before the last question too


@plugin
class Qwen3Coder(FamilyTemplate):
    """Qwen3-Coder, which never thinks, with calls in XML."""

    traits = TemplateFacts(
        name="qwen3_coder",
        file="qwen3_coder.jinja",
        models=(r"qwen3-coder",),
        stop=("<|im_end|>",),
        calls=QWEN_XML,
        source="Qwen/Qwen3-Coder-30B-A3B-Instruct",
    )


@plugin
class Qwen3CoderNext(FamilyTemplate):
    """Qwen3-Coder-Next: the format of Qwen3-Coder, which names tools otherwise."""

    traits = TemplateFacts(
        name="qwen3_coder_next",
        file="qwen3_coder.jinja",
        models=(r"qwen3-coder-next",),
        stop=("<|im_end|>",),
        calls=QWEN_XML,
        variables={"later": True},
        source="Qwen/Qwen3-Coder-Next",
    )
