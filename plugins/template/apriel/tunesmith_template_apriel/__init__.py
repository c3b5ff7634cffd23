"""The format of ServiceNow's Apriel models: steps of reasoning, then the final response behind a marker."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts
from tunesmith_library_chat.calls import MINIMAX_1


@plugin
class Apriel(FamilyTemplate):
    """Apriel 1.5, with tools and images."""

    traits = TemplateFacts(
        name="apriel",
        file="apriel.jinja",
        models=(r"apriel-1\.5",),
        stop=("<|end|>",),
        default_system="You are a thoughtful and systematic AI assistant built by ServiceNow … lab. …",
        calls=MINIMAX_1,
        media={"image": "[IMG]"},
        rewrites="calls of earlier turns have identifiers, the last turn's have none",
        source="ServiceNow-AI/Apriel-1.5-15b-Thinker",
    )
