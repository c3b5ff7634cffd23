"""ChatML: `<|im_start|>role`, the content, `<|im_end|>`. The usual choice for a base model that has no template.

Tools are described in the system turn and called in `<tool_call>` blocks of JSON, thoughts stand in `<think>` blocks:
the forms of the Hermes and Qwen models, which inference servers know how to parse.
"""

from tunesmith import hookimpl, plugin
from tunesmith_library_chat import ChatTemplate

CHATML = ChatTemplate.packaged(__name__, "chatml.jinja", "chatml", "<|im_end|>")


@plugin
class ChatML:
    """ChatML, with tools and thoughts."""

    default_system: str | None = None  # system message of conversations that have none

    @hookimpl
    def chat_template(self) -> ChatTemplate:
        return CHATML.with_default_system(self.default_system)
