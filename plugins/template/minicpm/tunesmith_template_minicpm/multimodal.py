"""The formats of MiniCPM-V and MiniCPM-o."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking
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
_ASSISTANT = "You are a helpful assistant."
_MEDIA = {"image": "(<image>./</image>)\n", "video": "(<video>./</video>)\n"}


@plugin
class MiniCPMV(FamilyTemplate):
    """MiniCPM-V 2.6 and 4: ChatML with a system message of its own, images and videos"""

    traits = TemplateFacts(
        name="minicpm_v",
        file="turns_media.jinja",
        models=("minicpm-v-(2[._]6|4)",),
        stop=("<|im_end|>",),
        variables={**_CHATML, **_MEDIA, "own_system": _ASSISTANT, "systems": True},
        media=_MEDIA,
        source="openbmb/MiniCPM-V-2_6",
    )


@plugin
class MiniCPMV25(FamilyTemplate):
    """MiniCPM-Llama3-V 2.5: the headers of Llama 3"""

    traits = TemplateFacts(
        name="minicpm_v_2_5",
        file="turns_media.jinja",
        models=("minicpm-llama3-v",),
        stop=("<|eot_id|>",),
        variables={
            "systems": True,
            "trim": True,
            "begin": "<|begin_of_text|>",
            "system_open": "<|start_header_id|>system<|end_header_id|>\n\n",
            "system_close": "<|eot_id|>",
            "user_open": "<|start_header_id|>user<|end_header_id|>\n\n",
            "user_close": "<|eot_id|>",
            "answer_open": "<|start_header_id|>assistant<|end_header_id|>\n\n",
            "answer_end": "<|eot_id|>",
            "asks": True,
            **_MEDIA,
        },
        media=_MEDIA,
        source="openbmb/MiniCPM-Llama3-V-2_5",
    )


@plugin
class MiniCPMV45(SwitchedTemplate):
    """MiniCPM-V 4.5: the format of Qwen3, thinks, or does not, with tools, images and videos"""

    traits = TemplateFacts(
        name="minicpm_v_4_5",
        file="minicpm_v_4_5.jinja",
        models=("minicpm-v-4[._]5",),
        stop=("<|im_end|>",),
        calls=HERMES,
        thinking=Thinking(switch="enable_thinking"),
        media=_MEDIA,
        variables={"marks": _MEDIA},
        rewrites="thoughts before the last question are dropped",
        source="openbmb/MiniCPM-V-4_5",
    )


@plugin
class MiniCPMV46(FamilyTemplate):
    """MiniCPM-V 4.6: ChatML with a system message of its own, images and videos"""

    traits = TemplateFacts(
        name="minicpm_v_4_6",
        file="turns_media.jinja",
        models=("minicpm-v-4[._]6",),
        stop=("<|im_end|>",),
        variables={**_CHATML, "image": "<|image_pad|>\n", "video": "<|video_pad|>\n", "own_system": _ASSISTANT},
        media={"image": "<|image_pad|>", "video": "<|video_pad|>"},
        source="openbmb/MiniCPM-V-4.6",
    )


@plugin
class MiniCPMO(FamilyTemplate):
    """MiniCPM-o: ChatML with a system message of its own, images, videos and audio"""

    traits = TemplateFacts(
        name="minicpm_o",
        file="turns_media.jinja",
        models=("minicpm-o",),
        stop=("<|im_end|>",),
        variables={
            **_CHATML,
            **_MEDIA,
            "audio": "(<audio>./</audio>)\n",
            "own_system": f"{_ASSISTANT} You can accept audio and text input and output voice and text.",
        },
        media={**_MEDIA, "audio": "(<audio>./</audio>)\n"},
        source="openbmb/MiniCPM-o-2_6",
    )
