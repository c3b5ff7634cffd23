"""The formats of LG's EXAONE models: `[|role|]` before each turn.

EXAONE 4 calls tools and thinks; its template drops thoughts and writes an empty one into every answer.
"""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking, ThinkingTemplate
from tunesmith_library_chat.calls import HERMES

_STOP = ("[|endofturn|]",)


@plugin
class Exaone(FamilyTemplate):
    """EXAONE 3.0 and 3.5, without tools."""

    traits = TemplateFacts(
        name="exaone",
        file="exaone.jinja",
        models=(r"exaone-3",),
        model_types=("exaone",),
        stop=_STOP,
        default_system="",
        aliases={"exaone3": "", "exaone3_5": ""},
        source="LGAI-EXAONE/EXAONE-3.5-7.8B-Instruct",
    )


@plugin
class ExaoneDeep(ThinkingTemplate):
    """EXAONE Deep, which always thinks."""

    traits = TemplateFacts(
        name="exaone_deep",
        file="exaone.jinja",
        models=(r"exaone-deep",),
        stop=_STOP,
        default_system="",
        thinking=Thinking("<thought>", "</thought>"),
        variables={"thinking": True},
        rewrites="thoughts of earlier answers are dropped",
        source="LGAI-EXAONE/EXAONE-Deep-7.8B",
    )


@plugin
class Exaone4(SwitchedTemplate):
    """EXAONE 4, which thinks or does not, with tools."""

    traits = TemplateFacts(
        name="exaone4",
        file="exaone4.jinja",
        models=(r"exaone-4",),
        model_types=("exaone4",),
        stop=_STOP,
        calls=HERMES,
        thinking=Thinking(switch="enable_thinking"),
        rewrites="thoughts of earlier answers are dropped",
        source="LGAI-EXAONE/EXAONE-4.0-32B",
    )
