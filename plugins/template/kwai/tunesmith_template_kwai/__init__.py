"""The formats of Kuaishou's models: KAT, which judges first whether to think, and Keye-VL."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts
from tunesmith_library_chat.calls import HERMES

_CHATML = {
    "system_open": "<|im_start|>system\n",
    "system_close": "<|im_end|>\n",
    "user_open": "<|im_start|>user\n",
    "user_close": "<|im_end|>\n",
    "answer_open": "<|im_start|>assistant\n",
    "answer_end": "<|im_end|>",
    "answer_close": "\n",
}
_MEDIA = {
    "image": "<|vision_start|><|image_pad|><|vision_end|>",
    "video": "<|vision_start|><|video_pad|><|vision_end|>",
}


@plugin
class Kat(FamilyTemplate):
    """KAT-V1: judges first whether to think, with tools"""

    traits = TemplateFacts(
        name="kat",
        file="kat.jinja",
        models=("kat-v1",),
        stop=("<|im_end|>",),
        default_system="You are a helpful assistant.",
        calls=HERMES,
        plain={"judge": False},
        rewrites="earlier answers are written without judgement and thoughts",
        source="Kwaipilot/KAT-V1-40B",
    )

    judge: bool | None = None  # false ends prompts before the judgement whether to think, for plain answers


@plugin
class KeyeVL(FamilyTemplate):
    """Keye-VL: ChatML with images and videos"""

    traits = TemplateFacts(
        name="keye_vl",
        file="turns_media.jinja",
        models=("keye-vl",),
        stop=("<|im_end|>",),
        variables={**_CHATML, **_MEDIA},
        media=_MEDIA,
        source="Kwai-Keye/Keye-VL-8B-Preview",
    )


@plugin
class KeyeVL15(FamilyTemplate):
    """Keye-VL 1.5: as Keye-VL, with a system message of its own"""

    traits = TemplateFacts(
        name="keye_vl_1_5",
        file="turns_media.jinja",
        models=("keye-vl-1[._]5",),
        stop=("<|im_end|>",),
        variables={**_CHATML, **_MEDIA, "own_system": "You are a helpful assistant."},
        media=_MEDIA,
        source="Kwai-Keye/Keye-VL-1_5-8B",
    )
