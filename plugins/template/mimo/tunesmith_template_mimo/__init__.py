"""The formats of the MiMo models: ChatML turns, tools in the system turn, calls in `<tool_call>` blocks of JSON."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking
from tunesmith_library_chat.calls import HERMES

_STOP = ("<|im_end|>",)
_MIMO = "You are MiMo, an AI assistant developed by Xiaomi."
_MIMO_2 = "You are MiMo, a helpful AI assistant engineered by Xiaomi."
_SEEN = {"image": "<|vision_start|><|image_pad|><|vision_end|>", "video": "<|vision_start|><|video_pad|><|vision_end|>"}


@plugin
class MiMo(FamilyTemplate):
    """MiMo-7B."""

    traits = TemplateFacts(
        name="mimo",
        file="mimo.jinja",
        models=(r"mimo-7b",),
        stop=_STOP,
        default_system=_MIMO,
        calls=HERMES,
        variables={"standing_system": _MIMO, "behind": "\n"},
        source="XiaomiMiMo/MiMo-7B-RL",
    )


@plugin
class MiMoVL(FamilyTemplate):
    """MiMo-VL-7B."""

    traits = TemplateFacts(
        name="mimo_vl",
        file="mimo.jinja",
        models=(r"mimo-vl", r"mimo-7b-vl"),
        stop=_STOP,
        default_system=_MIMO,
        calls=HERMES,
        media=_SEEN,
        variables={"standing_system": _MIMO, "behind": "\n", "media": True},
        source="XiaomiMiMo/MiMo-VL-7B-RL",
    )


@plugin
class MiMoV2(SwitchedTemplate):
    """MiMo-V2, with nothing between turns; with `enable_thinking=true` prompts end with an open `<think>`."""

    traits = TemplateFacts(
        name="mimo_v2",
        file="mimo.jinja",
        models=(r"mimo-v2",),
        stop=_STOP,
        default_system=_MIMO_2,
        calls=HERMES,
        thinking=Thinking(switch="enable_thinking"),
        variables={"standing_system": _MIMO_2, "thinks": True},
        rewrites="with enable_thinking=true the last answer alone has an empty thought where it has none",
        source="XiaomiMiMo/MiMo-V2-Flash",
    )
