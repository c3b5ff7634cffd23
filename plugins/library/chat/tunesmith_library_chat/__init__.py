"""What template plugins and their users share: chat templates, what families of them are made of, and where the
assistant speaks in what they render."""

from tunesmith_library_chat.facts import TemplateFacts
from tunesmith_library_chat.family import FamilyTemplate, SwitchedTemplate, ThinkingTemplate
from tunesmith_library_chat.framing import find_stop
from tunesmith_library_chat.rendering import Rendered, written
from tunesmith_library_chat.spans import Span
from tunesmith_library_chat.template import ChatTemplate
from tunesmith_library_chat.thoughts import Thinking
from tunesmith_library_chat.tokenizers import own_template, tokenizer_of
from tunesmith_library_chat.tokenizing import tokenize

__all__ = [
    "ChatTemplate",
    "FamilyTemplate",
    "Rendered",
    "Span",
    "SwitchedTemplate",
    "TemplateFacts",
    "Thinking",
    "ThinkingTemplate",
    "find_stop",
    "own_template",
    "tokenize",
    "tokenizer_of",
    "written",
]
