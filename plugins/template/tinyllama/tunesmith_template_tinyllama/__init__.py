"""The format of TinyLlama Chat: `<|user|>` and `<|assistant|>`, as Zephyr writes them."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts
from tunesmith_library_chat.facts import tuned


@plugin
class Tinyllama(FamilyTemplate):
    """TinyLlama Chat."""

    traits = TemplateFacts(
        name="tinyllama",
        file="tinyllama.jinja",
        models=(r"tinyllama.*chat", tuned("tinyllama")),
        source="TinyLlama/TinyLlama-1.1B-Chat-v1.0",
    )
