"""The formats of the Kimi models and Moonlight: roles between marks, calls with ids, thoughts in `<think>`; tags
with attributes in Kimi-K3."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking, ThinkingTemplate
from tunesmith_library_chat.calls import KIMI

from tunesmith_template_kimi.tagged import KIMI_3

_STOP = ("<|im_end|>",)
_HELPFUL = "You are a helpful assistant"
_KIMI = "You are Kimi, an AI assistant created by Moonshot AI."
_SEEN_VL = {"image": "<|media_start|>image<|media_content|><|media_pad|><|media_end|>"}
_SEEN = {"image": "<|media_start|>image<|media_content|><|media_pad|><|media_end|>\n"}
_SEEN_2_5 = {
    "image": "<|media_begin|>image<|media_content|><|media_pad|><|media_end|>\n",
    "video": "<|kimi_k25_video_placeholder|>\n",
}


@plugin
class Moonlight(FamilyTemplate):
    """Moonlight-16B-A3B."""

    traits = TemplateFacts(
        name="moonlight",
        file="kimi.jinja",
        models=(r"moonlight",),
        stop=_STOP,
        default_system=_HELPFUL,
        variables={"name": "Moonlight", "standing_system": _HELPFUL},
        source="moonshotai/Moonlight-16B-A3B-Instruct",
    )


@plugin
class KimiVL(FamilyTemplate):
    """Kimi-VL, which writes its thoughts into its answers."""

    traits = TemplateFacts(
        name="kimi_vl",
        file="kimi.jinja",
        models=(r"kimi-vl",),
        model_types=("kimi_vl",),
        stop=_STOP,
        default_system=_HELPFUL,
        media=_SEEN_VL,
        variables={"name": "Kimi-VL", "standing_system": _HELPFUL, "marks": _SEEN_VL},
        source="moonshotai/Kimi-VL-A3B-Instruct",
    )


@plugin
class KimiK2(FamilyTemplate):
    """Kimi-K2."""

    traits = TemplateFacts(
        name="kimi_k2",
        file="kimi.jinja",
        models=(r"kimi-k2",),
        stop=_STOP,
        default_system=_KIMI,
        calls=KIMI,
        media=_SEEN,
        variables={
            "name": "Kimi-K2",
            "standing_system": _KIMI,
            "behind_system": "\n",
            "marks": _SEEN,
            "calls": True,
            "named": True,
        },
        source="moonshotai/Kimi-K2-Instruct",
    )


@plugin
class KimiK2Thinking(ThinkingTemplate):
    """Kimi-K2-Thinking."""

    traits = TemplateFacts(
        name="kimi_k2_thinking",
        file="kimi.jinja",
        models=(r"kimi-k2-thinking",),
        stop=_STOP,
        default_system=_KIMI,
        calls=KIMI,
        thinking=Thinking(),
        media=_SEEN,
        variables={
            "name": "Kimi-K2",
            "standing_system": _KIMI,
            "marks": _SEEN,
            "calls": True,
            "named": True,
            "thinks": True,
        },
        rewrites="thoughts up to the first answer are dropped, once the conversation goes on",
        source="moonshotai/Kimi-K2-Thinking",
    )


@plugin
class KimiK25(SwitchedTemplate):
    """Kimi-K2.5, whose prompts end with an open `<think>` unless thoughts are switched off."""

    traits = TemplateFacts(
        name="kimi_k2_5",
        file="kimi.jinja",
        models=(r"kimi-k2\.[56]",),
        stop=_STOP,
        calls=KIMI,
        thinking=Thinking(switch="thinking"),
        media=_SEEN_2_5,
        variables={
            "name": "Kimi-K2.5",
            "marks": _SEEN_2_5,
            "calls": True,
            "named": True,
            "thinks": True,
            "opened": True,
            "last": True,
            "own_ids": True,
        },
        rewrites="thoughts up to the last answer are dropped, once the conversation goes on",
        source="moonshotai/Kimi-K2.5",
    )


@plugin
class KimiK3(SwitchedTemplate):
    """Kimi-K3: tags with attributes; every answer keeps its thought, unless thoughts are switched off."""

    traits = TemplateFacts(
        name="kimi_k3",
        file="kimi3.jinja",
        models=(r"kimi-k3",),
        stop=("<|end_of_msg|>",),
        calls=KIMI_3,
        thinking=Thinking("<|open|>think<|sep|>", "<|close|>think<|sep|>", switch="thinking"),
        media={"image": "<|kimi_image_placeholder|>"},
        source="moonshotai/Kimi-K3",
    )

    thinking_effort: str | None = None  # low, high or max; null is max
