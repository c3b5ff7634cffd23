"""The format of AI21's Jamba models: each message between `<|bom|>` and `<|eom|>`."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts
from tunesmith_library_chat.calls import MINIMAX_1


@plugin
class Jamba(FamilyTemplate):
    """Jamba 1.5 and later, with tools."""

    traits = TemplateFacts(
        name="jamba",
        file="jamba.jinja",
        models=(r"jamba",),
        model_types=("jamba",),
        stop=("<|eom|>",),
        default_system="",
        calls=MINIMAX_1,
        source="ai21labs/AI21-Jamba-1.5-Mini",
    )
