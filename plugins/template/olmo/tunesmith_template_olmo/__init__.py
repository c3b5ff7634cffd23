"""The formats of the OLMo models: OLMo 1 and 2 without tools, Olmo 3 with functions as Python calls or thoughts."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts, Thinking, ThinkingTemplate
from tunesmith_library_chat.calls import OLMO
from tunesmith_library_chat.facts import tuned

_STOP = ("<|im_end|>", "<|endoftext|>")
_ENDS = "the last answer ends with <|endoftext|>, earlier ones with <|im_end|>"
_DROPPED = f"{_ENDS}, and without their thoughts"
_FUNCTIONS = "You are a helpful function-calling AI assistant."
_WEIGHTS = "and your model weights are available at https://huggingface.co/allenai."
_OLMO = f"You are Olmo, a helpful AI assistant built by Ai2. Your date cutoff is December 2024, {_WEIGHTS}"
_FIRST = (
    "You are OLMo, a helpful function-calling AI assistant built by Ai2. Your date cutoff is November 2024, " + _WEIGHTS
)
_HELPFUL = "You are a helpful AI assistant."


@plugin
class Olmo(FamilyTemplate):
    """OLMo 1, without tools and system messages."""

    traits = TemplateFacts(
        name="olmo",
        file="olmo.jinja",
        models=(r"olmo-(1b|7b)",),
        model_types=("olmo",),
        system=False,
        source="allenai/OLMo-7B-Instruct",
    )


@plugin
class Olmo2(FamilyTemplate):
    """OLMo 2 and OLMoE, without tools."""

    traits = TemplateFacts(
        name="olmo2",
        file="olmo2.jinja",
        models=(r"olmo-?2-", r"olmoe-"),
        model_types=("olmo2",),
        rewrites="a line break stands behind all answers but the last",
        source="allenai/OLMo-2-1124-7B-Instruct",
    )


@plugin
class Olmo3(FamilyTemplate):
    """Olmo 3 Instruct, with tools."""

    traits = TemplateFacts(
        name="olmo3",
        file="olmo3.jinja",
        models=(r"olmo-?3-.*instruct", tuned("olmo-?3")),
        stop=_STOP,
        default_system=_FUNCTIONS,
        calls=OLMO,
        variables={"standing_system": _FUNCTIONS, "no_functions": True},
        rewrites=_ENDS,
        source="allenai/Olmo-3-7B-Instruct",
    )


@plugin
class Olmo31(FamilyTemplate):
    """Olmo 3.1 Instruct: the format of Olmo 3 with another system message."""

    traits = TemplateFacts(
        name="olmo3_1",
        file="olmo3.jinja",
        models=(r"olmo-?3\.1-.*instruct",),
        stop=_STOP,
        default_system=_OLMO,
        calls=OLMO,
        variables={"standing_system": _OLMO, "no_functions": True},
        rewrites=_ENDS,
        source="allenai/Olmo-3.1-32B-Instruct",
    )


@plugin
class Olmo3Think(ThinkingTemplate):
    """Olmo 3 7B Think, which always thinks, without tools."""

    traits = TemplateFacts(
        name="olmo3_think",
        file="olmo3.jinja",
        models=(r"olmo-?3-.*think",),
        stop=_STOP,
        default_system=_FIRST,
        thinking=Thinking(),
        variables={"standing_system": _FIRST, "no_functions": True, "thinks": True},
        rewrites=_DROPPED,
        source="allenai/Olmo-3-7B-Think",
    )


@plugin
class Olmo332BThink(Olmo3Think):
    """Olmo 3 32B Think: the same with another system message."""

    traits = TemplateFacts(
        name="olmo3_32b_think",
        file="olmo3.jinja",
        models=(r"olmo-?3-(\d+-)?32b-.*think",),
        stop=_STOP,
        default_system=_HELPFUL,
        thinking=Thinking(),
        variables={"standing_system": _HELPFUL, "thinks": True},
        rewrites=_DROPPED,
        source="allenai/Olmo-3-32B-Think",
    )


@plugin
class Olmo31Think(Olmo3Think):
    """Olmo 3.1 Think, and what Olmo 3 7B Think was after its first stage: the same with another system message."""

    traits = TemplateFacts(
        name="olmo3_1_think",
        file="olmo3.jinja",
        models=(r"olmo-?3\.1-.*think", r"olmo-?3-.*think-sft"),
        stop=_STOP,
        default_system=_OLMO,
        thinking=Thinking(),
        variables={"standing_system": _OLMO, "thinks": True},
        rewrites=_DROPPED,
        source="allenai/Olmo-3.1-32B-Think",
    )
