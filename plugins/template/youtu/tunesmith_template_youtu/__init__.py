"""The formats of Tencent's Youtu models."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking

_MEDIA = {
    "image": "<|vision_start|><|image_pad|><|vision_end|>",
    "video": "<|vision_start|><|video_pad|><|vision_end|>",
}


@plugin
class Youtu(SwitchedTemplate):
    """Youtu-LLM: `<|User|>…<|Assistant|>…<|end_of_text|>`; thinks, or does not"""

    traits = TemplateFacts(
        name="youtu",
        file="youtu.jinja",
        models=("youtu-llm",),
        model_types=("youtu_llm",),
        stop=("<|end_of_text|>",),
        thinking=Thinking(switch="enable_thinking"),
        rewrites="thoughts before the last question are dropped",
        source="tencent/Youtu-LLM-2B",
    )


@plugin
class YoutuVL(FamilyTemplate):
    """Youtu-VL: the role on a line of its own between the begin and the end of text, with images and videos"""

    traits = TemplateFacts(
        name="youtu_vl",
        file="turns_media.jinja",
        models=("youtu-vl",),
        stop=("<|end_of_text|>",),
        variables={
            **_MEDIA,
            "system_open": "<|begin_of_text|>system\n",
            "system_close": "<|end_of_text|>\n",
            "user_open": "<|begin_of_text|>user\n",
            "user_close": "<|end_of_text|>\n",
            "answer_open": "<|begin_of_text|>assistant\n",
            "answer_end": "<|end_of_text|>",
            "answer_close": "\n",
            "own_system": "You are a helpful assistant.",
        },
        media=_MEDIA,
        source="tencent/Youtu-VL-4B-Instruct",
    )
