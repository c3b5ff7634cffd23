"""The formats of Ai2's OLMo models: `<|user|>` and `<|assistant|>`."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts


@plugin
class Olmo(FamilyTemplate):
    """OLMo 1, which knows no system message."""

    traits = TemplateFacts(
        name="olmo",
        file="olmo.jinja",
        models=(r"olmo-(1b|7b)",),
        model_types=("olmo",),
        stop=("<|endoftext|>",),
        system=False,
        source="allenai/OLMo-7B-Instruct",
    )
