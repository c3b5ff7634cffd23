"""The formats of the Qwen models: ChatML turns, tools in the system turn, calls in `<tool_call>` blocks of JSON.

Qwen3 thinks in `<think>` blocks. Its template drops the thoughts of answers before the last question, and writes an
empty block where the last answer has none; the models released in July 2025 (2507) always think, or never.
"""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking, ThinkingTemplate
from tunesmith_library_chat.calls import HERMES

_DROPPED = "thoughts before the last question are dropped"


@plugin
class Qwen(FamilyTemplate):
    """Qwen2.5 and, with `default_system="You are a helpful assistant."`, Qwen2."""

    traits = TemplateFacts(
        name="qwen",
        file="qwen.jinja",
        models=(r"qwen2\.5",),
        stop=("<|im_end|>",),
        default_system="You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
        calls=HERMES,
        source="Qwen/Qwen2.5-7B-Instruct",
    )


@plugin
class Qwen3(SwitchedTemplate):
    """Qwen3, the hybrid models of April 2025, which think or do not."""

    traits = TemplateFacts(
        name="qwen3",
        file="qwen3.jinja",
        models=(r"qwen3-\d",),
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
        models=(r"qwen3-.*instruct-2507", r"qwen3-next-.*instruct"),
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
        models=(r"qwen3-.*thinking-2507", r"qwen3-next-.*thinking"),
        stop=("<|im_end|>",),
        calls=HERMES,
        thinking=Thinking(),
        variables={"thinking": "always"},
        rewrites=_DROPPED,
        source="Qwen/Qwen3-4B-Thinking-2507",
    )

    preserve_thinking: bool | None = None  # write, and train, the thoughts of answers before the last question too
