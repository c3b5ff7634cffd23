"""The formats of the Qwen models: ChatML turns, tools in the system turn, calls in `<tool_call>` blocks of JSON.

Qwen3 thinks in `<think>` blocks. Its template drops the thoughts of answers before the last question, and writes an
empty block where the last answer has none; the models released in July 2025 (2507) always think, or never.
"""

from tunesmith import hookimpl, plugin
from tunesmith_library_chat import ChatTemplate


@plugin
class Qwen:
    """Qwen2.5 and, with `default_system="You are a helpful assistant."`, Qwen2."""

    default_system: str | None = None  # system message of conversations that have none; null is Qwen2.5's own

    @hookimpl
    def chat_template(self) -> ChatTemplate:
        return ChatTemplate.packaged(__name__, "qwen.jinja", "qwen", "<|im_end|>").with_default_system(
            self.default_system
        )


@plugin
class Qwen3:
    """Qwen3, the hybrid models of April 2025, which think or do not."""

    enable_thinking: bool | None = None  # false: prompts hold an empty thought, which is then not trained
    preserve_thinking: bool = False  # write, and train, the thoughts of answers before the last question too
    default_system: str | None = None  # system message of conversations that have none

    @hookimpl
    def chat_template(self) -> ChatTemplate:
        template = ChatTemplate.packaged(__name__, "qwen3.jinja", "qwen3", "<|im_end|>")
        template = template.with_variables(
            enable_thinking=self.enable_thinking, preserve_thinking=self.preserve_thinking or None
        )
        return template.with_default_system(self.default_system)


@plugin
class Qwen3NoThink:
    """Qwen3 Instruct-2507, which never thinks: the reasoning of a message is left out."""

    default_system: str | None = None  # system message of conversations that have none

    @hookimpl
    def chat_template(self) -> ChatTemplate:
        template = ChatTemplate.packaged(__name__, "qwen3.jinja", "qwen3_nothink", "<|im_end|>")
        return template.with_variables(thinking="never").with_default_system(self.default_system)


@plugin
class Qwen3Thinking:
    """Qwen3 Thinking-2507, which always thinks: prompts end with an open `<think>`."""

    preserve_thinking: bool = False  # write, and train, the thoughts of answers before the last question too
    default_system: str | None = None  # system message of conversations that have none

    @hookimpl
    def chat_template(self) -> ChatTemplate:
        template = ChatTemplate.packaged(__name__, "qwen3.jinja", "qwen3_thinking", "<|im_end|>")
        template = template.with_variables(thinking="always", preserve_thinking=self.preserve_thinking or None)
        return template.with_default_system(self.default_system)
