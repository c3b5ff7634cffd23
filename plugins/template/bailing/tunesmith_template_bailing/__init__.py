"""The formats of Ant's Ling and Ring models: roles in XML, and from 2.0 on an end mark, tools and thoughts."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking, ThinkingTemplate
from tunesmith_library_chat.calls import GLM, HERMES

_BARE = "only the last answer is followed by the end of sequence, as the official format has it"
_DROPPED = "thoughts before the last question are dropped"


@plugin
class Bailing(FamilyTemplate):
    """Ling 1 and 1.5: roles in XML, and nothing behind a turn"""

    traits = TemplateFacts(
        name="bailing",
        file="turns.jinja",
        models=("ling-(lite|plus|coder)",),
        stop=("<|endoftext|>",),
        variables={
            "systems": True,
            "system_open": "<role>SYSTEM</role>",
            "user_open": "<role>HUMAN</role>",
            "answer_open": "<role>ASSISTANT</role>",
            "answer_end": "<|endoftext|>",
            "history_end": "",
        },
        rewrites=_BARE,
        aliases={"ling": ""},
        source="inclusionAI/Ling-lite",
    )


@plugin
class BailingV2(ThinkingTemplate):
    """Ling 2: with tools; thinks not, but writes thoughts that a message has"""

    traits = TemplateFacts(
        name="bailing_v2",
        file="ling2.jinja",
        models=("ling-(mini|flash|1t)",),
        model_types=("bailing_moe_v2",),
        stop=("<|role_end|>",),
        calls=HERMES,
        thinking=Thinking(),
        rewrites=_DROPPED,
        aliases={"ling2": ""},
        source="inclusionAI/Ling-1T",
    )


@plugin
class Ring2(ThinkingTemplate):
    """Ring 2: as Ling 2, always thinks"""

    traits = TemplateFacts(
        name="ring2",
        file="ling2.jinja",
        models=("ring-(mini|flash|1t)",),
        stop=("<|role_end|>",),
        calls=HERMES,
        thinking=Thinking(),
        variables={"always": True},
        rewrites=_DROPPED,
        source="inclusionAI/Ring-mini-2.0",
    )


@plugin
class Ling3(SwitchedTemplate):
    """Ling 3: thinks, or does not; every thought stays; arguments of calls in XML"""

    traits = TemplateFacts(
        name="ling3",
        file="ling3.jinja",
        models=("ling-3", r"ling-.*-3\.0"),
        model_types=("bailing_moe_v3", "bailingmoe3"),
        stop=("<|role_end|>",),
        calls=GLM,
        thinking=Thinking(switch="enable_thinking"),
        source="inclusionAI/Ling-3.0-flash",
    )
