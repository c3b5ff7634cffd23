"""The formats of the MiniMax models: sentences with roles in M1 and Text-01, marks and calls in XML in M2."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking, ThinkingTemplate
from tunesmith_library_chat.calls import MINIMAX, MINIMAX_1

from tunesmith_template_minimax.nested import MINIMAX_3

_HELPFUL = "You are a helpful assistant."
_DROPPED = "thoughts before the last question are dropped"


@plugin
class MiniMaxText(FamilyTemplate):
    """MiniMax-Text-01."""

    traits = TemplateFacts(
        name="minimax_text",
        file="minimax1.jinja",
        models=(r"minimax-text",),
        stop=("<end_of_sentence>",),
        calls=MINIMAX_1,
        source="MiniMaxAI/MiniMax-Text-01",
    )


@plugin
class MiniMax1(FamilyTemplate):
    """MiniMax-M1, which writes its thoughts into its answers."""

    traits = TemplateFacts(
        name="minimax1",
        file="minimax1.jinja",
        models=(r"minimax-m1",),
        stop=("<end_of_sentence>",),
        calls=MINIMAX_1,
        variables={"begins": "<begin_of_document>"},
        source="MiniMaxAI/MiniMax-M1-80k",
    )


@plugin
class MiniMax2(ThinkingTemplate):
    """MiniMax-M2: prompts end with an open `<think>`."""

    traits = TemplateFacts(
        name="minimax2",
        file="minimax2.jinja",
        models=(r"minimax-m2",),
        stop=("[e~[",),
        default_system=_HELPFUL,
        calls=MINIMAX,
        thinking=Thinking(),
        variables={"standing_system": _HELPFUL},
        rewrites=_DROPPED,
        source="MiniMaxAI/MiniMax-M2",
    )


@plugin
class MiniMax21(ThinkingTemplate):
    """MiniMax-M2.1: prompts end with an open `<think>`."""

    traits = TemplateFacts(
        name="minimax2_1",
        file="minimax2.jinja",
        models=(r"minimax-m2\.1",),
        stop=("[e~[",),
        default_system=_HELPFUL + " Your name is MiniMax-M2.1 and is built by MiniMax.",
        calls=MINIMAX,
        thinking=Thinking(),
        variables={"standing_system": _HELPFUL + " Your name is MiniMax-M2.1 and is built by MiniMax."},
        rewrites=_DROPPED,
        source="MiniMaxAI/MiniMax-M2.1",
    )


@plugin
class MiniMax25(ThinkingTemplate):
    """MiniMax-M2.5: prompts end with an open `<think>`."""

    traits = TemplateFacts(
        name="minimax2_5",
        file="minimax2.jinja",
        models=(r"minimax-m2\.5",),
        stop=("[e~[",),
        default_system=_HELPFUL + " Your name is MiniMax-M2.5 and is built by MiniMax.",
        calls=MINIMAX,
        thinking=Thinking(),
        variables={"standing_system": _HELPFUL + " Your name is MiniMax-M2.5 and is built by MiniMax."},
        rewrites=_DROPPED,
        source="MiniMaxAI/MiniMax-M2.5",
    )


@plugin
class MiniMax27(ThinkingTemplate):
    """MiniMax-M2.7: prompts end with an open `<think>`."""

    traits = TemplateFacts(
        name="minimax2_7",
        file="minimax2.jinja",
        models=(r"minimax-m2\.7",),
        stop=("[e~[",),
        default_system=_HELPFUL + " Your name is MiniMax-M2.7 and is built by MiniMax.",
        calls=MINIMAX,
        thinking=Thinking(),
        variables={"standing_system": _HELPFUL + " Your name is MiniMax-M2.7 and is built by MiniMax."},
        rewrites=_DROPPED,
        source="MiniMaxAI/MiniMax-M2.7",
    )


@plugin
class MiniMax3(SwitchedTemplate):
    """MiniMax-M3, which decides whether it thinks unless told."""

    traits = TemplateFacts(
        name="minimax3",
        file="minimax3.jinja",
        models=(r"minimax-m3",),
        stop=("[e~[",),
        default_system=_HELPFUL,
        calls=MINIMAX_3,
        thinking=Thinking("<mm:think>", "</mm:think>", switch="enable_thinking"),
        media={"image": "]<]image[>[", "video": "]<]video[>["},
        variables={"standing_system": _HELPFUL},
        rewrites="with enable_thinking=true the last answer alone has an empty thought where it has none",
        source="MiniMaxAI/MiniMax-M3",
    )
