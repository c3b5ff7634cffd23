"""What template plugins and their users share: chat templates, and where the assistant speaks in what they render."""

from tunesmith_library_chat.rendering import Rendered, written
from tunesmith_library_chat.spans import Span
from tunesmith_library_chat.template import ChatTemplate, find_stop
from tunesmith_library_chat.tokenizers import tokenizer_of
from tunesmith_library_chat.tokenizing import tokenize

__all__ = ["ChatTemplate", "Rendered", "Span", "find_stop", "tokenize", "tokenizer_of", "written"]
