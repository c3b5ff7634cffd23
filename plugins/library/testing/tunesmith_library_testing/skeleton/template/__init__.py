"""A chat template: `role: content`, a turn to a line."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts


@plugin
class Placeholder(FamilyTemplate):
    """Plain words before each turn, and the tokenizer's end-of-sequence token after the assistant's."""

    traits = TemplateFacts(name="placeholder", file="placeholder.jinja", models=(r"placeholder-\d+b-chat",))
