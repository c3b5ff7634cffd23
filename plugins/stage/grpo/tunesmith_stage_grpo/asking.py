"""Prompts as tokens in TRL's loops: as the run's template tokenises them, where control tokens they spell are text.

TRL asks the tokenizer for rendered and tokenised conversations at once, which takes what they spell for those tokens.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from tunesmith_library_chat import ChatTemplate, tokenize, tokenizer_of


def asking(processor: Any, template: ChatTemplate | None) -> Any:
    """The processor, or a copy of it whose `apply_chat_template` tokenises batches of prompts by the template.

    Args:
        template: the run's, bound to the processor's tokenizer.
    """
    if template is None or not template.control:
        return processor
    own, made = processor.apply_chat_template, copy.copy(processor)

    def apply_chat_template(conversation: Sequence[Any], tools: Any = None, **options: Any) -> Any:
        whole = options.get("tokenize", True) and options.get("return_dict", True)
        if not (whole and options.get("add_generation_prompt") and conversation and isinstance(conversation[0], list)):
            return own(conversation, tools=tools, **options)
        rendered = [template.render(messages, tools, add_generation_prompt=True) for messages in conversation]
        encodings = tokenize(tokenizer_of(processor), rendered, control=template.control)
        ids = [list(encoding.ids) for encoding in encodings]
        return {"input_ids": ids, "attention_mask": [[1] * len(tokens) for tokens in ids]}

    made.apply_chat_template = apply_chat_template
    return made
