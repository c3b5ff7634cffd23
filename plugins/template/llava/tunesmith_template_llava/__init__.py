"""The formats of LLaVA, LLaVA-NeXT and their video models: each that of the language model inside, images first."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts

_CURIOUS_HUMAN = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the human's questions."
)
_MEDIA = {"image": "<image>", "video": "<video>"}
_BREAKS = "a line break precedes every text but that of the answer which is trained"
_BEGUN = {"begins": True, "own_system": _CURIOUS_HUMAN}


@plugin
class Llava(FamilyTemplate):
    """LLaVA 1.5: `USER:` and `ASSISTANT:`."""

    traits = TemplateFacts(
        name="llava",
        file="vicuna.jinja",
        models=(r"llava-?v?1\.5",),
        variables={"unended": True},
        media=_MEDIA,
        source="llava-hf/llava-1.5-7b-hf",
    )


@plugin
class VideoLlava(FamilyTemplate):
    """Video-LLaVA."""

    traits = TemplateFacts(
        name="video_llava",
        file="vicuna.jinja",
        models=(r"video-llava",),
        model_types=("video_llava",),
        media=_MEDIA,
        source="LanguageBind/Video-LLaVA-7B-hf",
    )


@plugin
class LlavaNext(FamilyTemplate):
    """LLaVA-NeXT on Vicuna."""

    traits = TemplateFacts(
        name="llava_next",
        file="vicuna.jinja",
        models=(r"llava-next-(7|13)b", r"llava-v?1\.6-(vicuna|(7|13)b)"),
        default_system=_CURIOUS_HUMAN,
        variables=_BEGUN,
        media=_MEDIA,
        source="llava-hf/llava-v1.6-vicuna-7b-hf",
    )


@plugin
class LlavaNextVideo(FamilyTemplate):
    """LLaVA-NeXT-Video on Vicuna."""

    traits = TemplateFacts(
        name="llava_next_video",
        file="vicuna.jinja",
        models=(r"llava-next-video-7b",),
        default_system=_CURIOUS_HUMAN,
        variables=_BEGUN,
        media=_MEDIA,
        source="llava-hf/LLaVA-NeXT-Video-7B-hf",
    )


@plugin
class LlavaNextMistral(FamilyTemplate):
    """LLaVA-NeXT on Mistral, and the video model of 32k."""

    traits = TemplateFacts(
        name="llava_next_mistral",
        file="mistral.jinja",
        models=(r"llava-next-mistral", r"llava-v1\.6-mistral", r"llava-next-video-7b-32k"),
        media=_MEDIA,
        aliases={"llava_next_video_mistral": ""},
        source="llava-hf/llava-v1.6-mistral-7b-hf",
    )


@plugin
class LlavaNextLlama3(FamilyTemplate):
    """LLaVA-NeXT on Llama 3."""

    traits = TemplateFacts(
        name="llava_next_llama3",
        file="headers.jinja",
        models=(r"llava-next-llama3", r"llama3-llava-next"),
        stop=("<|eot_id|>",),
        variables={
            "head": "<|start_header_id|>",
            "head_end": "<|end_header_id|>\n\n",
            "end": "<|eot_id|>",
            "breaks": True,
        },
        rewrites=_BREAKS,
        media=_MEDIA,
        source="llava-hf/llama3-llava-next-8b-hf",
    )


@plugin
class LlavaNextQwen(FamilyTemplate):
    """LLaVA-NeXT on Qwen 1.5."""

    traits = TemplateFacts(
        name="llava_next_qwen",
        file="headers.jinja",
        models=(r"llava-next-(72|110)b",),
        stop=("<|im_end|>",),
        variables={"head": "<|im_start|>", "head_end": "\n", "end": "<|im_end|>", "line": "\n", "breaks": True},
        rewrites=_BREAKS,
        media=_MEDIA,
        source="llava-hf/llava-next-72b-hf",
    )


@plugin
class LlavaNextYi(FamilyTemplate):
    """LLaVA-NeXT and LLaVA-NeXT-Video on Yi."""

    traits = TemplateFacts(
        name="llava_next_yi",
        file="headers.jinja",
        models=(r"llava-next-34b", r"llava-v1\.6-34b", r"llava-next-video-34b"),
        stop=("<|im_end|>",),
        variables={"head": "<|im_start|>", "head_end": "\n", "end": "<|im_end|>", "line": "\n"},
        media=_MEDIA,
        aliases={"llava_next_video_yi": ""},
        source="llava-hf/llava-v1.6-34b-hf",
    )
