"""ChatML: `<|im_start|>role`, the content, `<|im_end|>`. The usual choice for a base model that has no template.

Tools are described in the system turn and called in `<tool_call>` blocks of JSON, thoughts stand in `<think>` blocks:
the forms of the Hermes and Qwen models, which inference servers know how to parse.
"""

from tunesmith_library_chat.template import ChatTemplate

CHATML = ChatTemplate.packaged("tunesmith_library_chat", "chatml.jinja", "chatml", "<|im_end|>")
