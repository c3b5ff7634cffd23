"""The formats of rednote's dots models: each role with tokens of its own for begin and end."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts


@plugin
class DotsOCR(FamilyTemplate):
    """dots.ocr: `<|user|>…<|endofuser|><|assistant|>…<|endofassistant|>`, with images"""

    traits = TemplateFacts(
        name="dots_ocr",
        file="turns_media.jinja",
        models=("dots[._]ocr",),
        model_types=("dots_ocr",),
        stop=("<|endofassistant|>",),
        variables={
            "systems": True,
            "image": "<|img|><|imgpad|><|endofimg|>",
            "system_open": "<|system|>",
            "system_close": "<|endofsystem|>\n",
            "user_open": "<|user|>",
            "user_close": "<|endofuser|>",
            "answer_open": "<|assistant|>",
            "answer_end": "<|endofassistant|>",
            "open_end": True,
        },
        media={"image": "<|imgpad|>"},
        source="rednote-hilab/dots.ocr",
    )


@plugin
class Dots1(FamilyTemplate):
    """dots.llm1: `<|userprompt|>…<|endofuserprompt|><|response|>…<|endofresponse|>`"""

    traits = TemplateFacts(
        name="dots1",
        file="turns.jinja",
        models=(r"dots\.llm1",),
        model_types=("dots1",),
        stop=("<|endofresponse|>",),
        variables={
            "system_open": "<|system|>",
            "system_close": "<|endofsystem|>",
            "user_open": "<|userprompt|>",
            "user_close": "<|endofuserprompt|>",
            "answer_open": "<|response|>",
            "answer_end": "<|endofresponse|>",
            "own_system": "You are a helpful assistant.",
        },
        source="rednote-hilab/dots.llm1.inst",
    )
