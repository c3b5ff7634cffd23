"""The formats of Liquid AI's LFM2 models: ChatML turns, tools in the system turn, calls in Python's way of writing.

LFM2.5 writes tools without the marks of LFM2, and may think.
"""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts, Thinking, ThinkingTemplate
from tunesmith_library_chat.calls import LFM

_STOP = ("<|im_end|>",)
_DROPPED = "thoughts before the last question are dropped"


@plugin
class Lfm2(FamilyTemplate):
    """LFM2."""

    traits = TemplateFacts(
        name="lfm2",
        file="lfm2.jinja",
        models=(r"lfm2-",),
        stop=_STOP,
        calls=LFM,
        variables={"marked": True, "json_lists": True},
        source="LiquidAI/LFM2-1.2B",
    )


@plugin
class Lfm25(ThinkingTemplate):
    """LFM2.5, which writes thoughts where it has them."""

    traits = TemplateFacts(
        name="lfm2_5",
        file="lfm2.jinja",
        models=(r"lfm2\.5-",),
        stop=_STOP,
        calls=LFM,
        thinking=Thinking(),
        variables={"thinking": True, "unescaped": True},
        media={"image": "<image>"},
        rewrites=_DROPPED,
        source="LiquidAI/LFM2.5-8B-A1B",
    )

    preserve_thinking: bool | None = None  # write, and train, the thoughts of answers before the last question too


@plugin
class Lfm2Vl(Lfm25):
    """LFM2-VL and LFM2.5-VL, with images."""

    traits = TemplateFacts(
        name="lfm2_vl",
        file="lfm2.jinja",
        models=(r"lfm2(\.5)?-vl",),
        model_types=("lfm2_vl",),
        stop=_STOP,
        calls=LFM,
        thinking=Thinking(),
        variables={"thinking": True, "json_lists": True},
        media={"image": "<image>"},
        rewrites=_DROPPED,
        source="LiquidAI/LFM2.5-VL-1.6B",
    )
