"""The format of ServiceNow's Apriel models: steps of reasoning, then the final response behind a marker."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts, Thinking, ThinkingTemplate
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


@plugin
class Apriel16(ThinkingTemplate):
    """Apriel 1.6, with tools and images; only the last answer keeps its steps of reasoning."""

    traits = TemplateFacts(
        name="apriel1_6",
        file="apriel1_6.jinja",
        models=(r"apriel-1\.6",),
        stop=("<|end|>",),
        default_system="You are a thoughtful, systematic AI assistant from ServiceNow … lab. …",
        calls=MINIMAX_1,
        thinking=Thinking("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"),
        media={"image": "[IMG]"},
        rewrites="only the last answer keeps its thought; earlier calls have identifiers, the last have none",
        source="ServiceNow-AI/Apriel-1.6-15b-Thinker",
    )
