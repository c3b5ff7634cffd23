"""ChatML: `<|im_start|>role`, the content, `<|im_end|>`. The usual choice for a base model that has no template.

Tools are described in the system turn and called in `<tool_call>` blocks of JSON, thoughts stand in `<think>` blocks:
the forms of the Hermes and Qwen models, which inference servers know how to parse.
"""

from dataclasses import replace

from tunesmith_library_chat.calls import HERMES
from tunesmith_library_chat.template import ChatTemplate
from tunesmith_library_chat.thoughts import Thinking

CHATML = replace(
    ChatTemplate.packaged("tunesmith_library_chat", "chatml.jinja", "chatml", "<|im_end|>"),
    calls=HERMES,
    thinking=Thinking(),
)
