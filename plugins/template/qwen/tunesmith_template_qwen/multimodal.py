"""The formats of the Qwen models that read pictures, videos or sounds, and of Qwen3.5 and later, which all do.

Qwen2-VL, Qwen2-Audio and Qwen2.5-Omni know no tools. Qwen3-VL and Qwen3-Omni write what Qwen3 does; Qwen3.5 and later
write calls in XML, and say in their prompt whether they think.
"""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking, ThinkingTemplate
from tunesmith_library_chat.calls import HERMES, QWEN_XML

_STOP = ("<|im_end|>",)
_HELPFUL = "You are a helpful assistant."
_STEP_BY_STEP = (
    "You are a helpful and harmless assistant. You are Qwen developed by Alibaba. You should think step-by-step."
)
_DROPPED = "thoughts before the last question are dropped"
_SEEN = {"image": "<|vision_start|><|image_pad|><|vision_end|>", "video": "<|vision_start|><|video_pad|><|vision_end|>"}
_HEARD = {**_SEEN, "audio": "<|audio_start|><|audio_pad|><|audio_end|>"}
_OMNI = {
    "image": "<|vision_bos|><|IMAGE|><|vision_eos|>",
    "video": "<|vision_bos|><|VIDEO|><|vision_eos|>",
    "audio": "<|audio_bos|><|AUDIO|><|audio_eos|>",
}
_AUDIO = {"audio": "<|audio_bos|><|AUDIO|><|audio_eos|>\n"}
_LATER = {"media": True, "switchable": True}


@plugin
class Qwen2VL(FamilyTemplate):
    """Qwen2-VL and Qwen2.5-VL."""

    traits = TemplateFacts(
        name="qwen2_vl",
        file="media.jinja",
        models=(r"qwen2-vl", r"qwen2\.5-vl", r"mimo-vl-7b-sft", r"mimo-7b-vl-instruct"),
        model_types=("qwen2_vl", "qwen2_5_vl"),
        stop=_STOP,
        default_system=_HELPFUL,
        media=_SEEN,
        variables={"standing_system": _HELPFUL, "name": "Qwen2-VL", "marks": _SEEN},
        aliases={"qwen2_5_vl": ""},
        source="Qwen/Qwen2.5-VL-7B-Instruct",
    )


@plugin
class QVQ(FamilyTemplate):
    """QVQ-72B-Preview."""

    traits = TemplateFacts(
        name="qvq",
        file="media.jinja",
        models=(r"qvq",),
        stop=_STOP,
        default_system=_STEP_BY_STEP,
        media=_SEEN,
        variables={"standing_system": _STEP_BY_STEP, "name": "QVQ", "marks": _SEEN},
        source="Qwen/QVQ-72B-Preview",
    )


@plugin
class Qwen2Audio(FamilyTemplate):
    """Qwen2-Audio."""

    traits = TemplateFacts(
        name="qwen2_audio",
        file="media.jinja",
        models=(r"qwen2-audio",),
        model_types=("qwen2_audio",),
        stop=_STOP,
        default_system=_HELPFUL,
        media=_AUDIO,
        variables={"standing_system": _HELPFUL, "name": "Qwen2-Audio", "marks": _AUDIO, "audio_numbered": True},
        source="Qwen/Qwen2-Audio-7B-Instruct",
    )


@plugin
class Qwen2Omni(FamilyTemplate):
    """Qwen2.5-Omni."""

    traits = TemplateFacts(
        name="qwen2_omni",
        file="media.jinja",
        models=(r"qwen2\.5-omni",),
        model_types=("qwen2_5_omni", "qwen2_5_omni_thinker"),
        stop=_STOP,
        default_system=_HELPFUL,
        media=_OMNI,
        variables={"standing_system": _HELPFUL, "name": "Qwen2.5-Omni", "marks": _OMNI},
        aliases={"qwen2_5_omni": ""},
        source="Qwen/Qwen2.5-Omni-7B",
    )


@plugin
class Qwen3VL(ThinkingTemplate):
    """Qwen3-VL Thinking: prompts end with an open `<think>`."""

    traits = TemplateFacts(
        name="qwen3_vl",
        file="qwen3_media.jinja",
        models=(r"qwen3-vl-.*thinking",),
        stop=_STOP,
        calls=HERMES,
        thinking=Thinking(),
        media=_SEEN,
        variables={"thinking": "always", "name": "Qwen3-VL", "marks": _SEEN},
        rewrites=_DROPPED,
        aliases={"qwen3_vl_thinking": ""},
        source="Qwen/Qwen3-VL-8B-Thinking",
    )

    preserve_thinking: bool | None = None  # write, and train, the thoughts of answers before the last question too


@plugin
class Qwen3VLNoThink(FamilyTemplate):
    """Qwen3-VL Instruct, which never thinks: the reasoning of a message is left out."""

    traits = TemplateFacts(
        name="qwen3_vl_nothink",
        file="qwen3_media.jinja",
        models=(r"qwen3-vl",),
        stop=_STOP,
        calls=HERMES,
        media=_SEEN,
        variables={"thinking": "never", "name": "Qwen3-VL", "marks": _SEEN},
        source="Qwen/Qwen3-VL-8B-Instruct",
    )


@plugin
class Qwen3Omni(SwitchedTemplate):
    """Qwen3-Omni Thinking."""

    traits = TemplateFacts(
        name="qwen3_omni",
        file="qwen3_media.jinja",
        models=(r"qwen3-omni-.*thinking",),
        stop=_STOP,
        calls=HERMES,
        thinking=Thinking(switch="enable_thinking"),
        media=_HEARD,
        variables={"name": "Qwen3-Omni", "marks": _HEARD},
        rewrites=_DROPPED,
        source="Qwen/Qwen3-Omni-30B-A3B-Thinking",
    )

    preserve_thinking: bool | None = None  # write, and train, the thoughts of answers before the last question too


@plugin
class Qwen3OmniNoThink(SwitchedTemplate):
    """Qwen3-Omni Instruct and Captioner, whose last answer begins with an empty thought where it has none."""

    traits = TemplateFacts(
        name="qwen3_omni_nothink",
        file="qwen3_media.jinja",
        models=(r"qwen3-omni",),
        stop=_STOP,
        calls=HERMES,
        thinking=Thinking(switch="enable_thinking"),
        media=_HEARD,
        variables={"tools_apart": True, "name": "Qwen3-Omni", "marks": _HEARD},
        rewrites=_DROPPED,
        source="Qwen/Qwen3-Omni-30B-A3B-Instruct",
    )


@plugin
class Qwen35(SwitchedTemplate):
    """Qwen3.5, which thinks unless told otherwise."""

    traits = TemplateFacts(
        name="qwen3_5",
        file="qwen3_5.jinja",
        models=(r"qwen3\.5",),
        stop=_STOP,
        calls=QWEN_XML,
        thinking=Thinking(switch="enable_thinking"),
        media=_SEEN,
        variables={**_LATER, "thinks": True, "name": "Qwen3.5"},
        rewrites=_DROPPED,
        source="Qwen/Qwen3.5-4B",
    )

    preserve_thinking: bool | None = None  # write, and train, the thoughts of answers before the last question too


@plugin
class Qwen35NoThink(SwitchedTemplate):
    """The small models of Qwen3.5, which think only if told to."""

    traits = TemplateFacts(
        name="qwen3_5_nothink",
        file="qwen3_5.jinja",
        models=(r"qwen3\.5-(0\.8|2)b",),
        stop=_STOP,
        calls=QWEN_XML,
        thinking=Thinking(switch="enable_thinking"),
        media=_SEEN,
        variables={**_LATER, "thinks": False, "name": "Qwen3.5"},
        rewrites=_DROPPED,
        source="Qwen/Qwen3.5-0.8B",
    )

    preserve_thinking: bool | None = None  # write, and train, the thoughts of answers before the last question too


@plugin
class Qwen36(SwitchedTemplate):
    """Qwen3.6, which writes all arguments but strings as JSON."""

    traits = TemplateFacts(
        name="qwen3_6",
        file="qwen3_5.jinja",
        models=(r"qwen3\.6",),
        stop=_STOP,
        calls=QWEN_XML,
        thinking=Thinking(switch="enable_thinking"),
        media=_SEEN,
        variables={**_LATER, "thinks": True, "json": True, "name": "Qwen3.6"},
        rewrites=_DROPPED,
        source="Qwen/Qwen3.6-35B-A3B",
    )

    preserve_thinking: bool | None = None  # write, and train, the thoughts of answers before the last question too


@plugin
class Qwen38(SwitchedTemplate):
    """Qwen3.8, which keeps its thoughts and is told how hard to think."""

    traits = TemplateFacts(
        name="qwen3_8",
        file="qwen3_5.jinja",
        models=(r"qwen3\.8",),
        stop=_STOP,
        calls=QWEN_XML,
        thinking=Thinking(switch="enable_thinking"),
        media=_SEEN,
        variables={**_LATER, "thinks": True, "json": True, "preserves": True, "efforts": True, "name": "Qwen3.8"},
        source="Qwen/Qwen3.8",
    )

    preserve_thinking: bool | None = None  # false: thoughts of answers before the last question are dropped
    reasoning_effort: str | None = None  # xhigh, medium or low; null is xhigh


@plugin
class Qwen38Max(ThinkingTemplate):
    """Qwen3.8-Max, which reads text alone and always thinks."""

    traits = TemplateFacts(
        name="qwen3_8_max",
        file="qwen3_5.jinja",
        models=(r"qwen3\.8-max", r"qwen3\.8-\d.*t-"),
        stop=_STOP,
        calls=QWEN_XML,
        thinking=Thinking(),
        variables={"thinks": True, "json": True, "preserves": True, "efforts": True, "name": "Qwen3.8-Max"},
        source="Qwen/Qwen3.8-2.4T-A95B",
    )

    preserve_thinking: bool | None = None  # false: thoughts of answers before the last question are dropped
    reasoning_effort: str | None = None  # xhigh, medium or low; null is xhigh
