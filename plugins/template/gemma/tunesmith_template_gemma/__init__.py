"""The formats of Google's Gemma models: turns of `user` and `model`.

Gemma 1 and 2 have no place for a system message; Gemma 3 writes it before the first question; Gemma 4 has a system
turn, thinks in a channel, calls tools, and answers behind their results in the same turn.
"""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking
from tunesmith_library_chat.calls import FUNCTION_GEMMA, GEMMA

_STOP = ("<end_of_turn>",)
_THINKING = Thinking("<|channel>thought\n", "<channel|>", switch="enable_thinking")
_DROPPED = "thoughts before the last question are dropped"


@plugin
class Gemma(FamilyTemplate):
    """Gemma 1, 1.1 and 2, and CodeGemma, which know no system message."""

    traits = TemplateFacts(
        name="gemma",
        file="gemma.jinja",
        models=(
            r"(?:code|shield|recurrent|tx|t5)?gemma-\d+b",
            r"(?:code|recurrent)?gemma-1\.1-\d+b",
            r"gemma-2-\d+b",
        ),
        model_types=("gemma", "gemma2"),
        stop=_STOP,
        system=False,
        aliases={"gemma2": "Gemma 3, of every size, is template=gemma3", "codegemma": ""},
        source="google/gemma-2-9b-it",
    )


@plugin
class Gemma3(FamilyTemplate):
    """Gemma 3 and MedGemma, with images."""

    traits = TemplateFacts(
        name="gemma3",
        file="gemma.jinja",
        models=(r"gemma-3-\d+(b|m)", r"medgemma-\d+b", r"shieldgemma-2-", r"t5gemma-2-", r"translategemma-\d+b"),
        model_types=("gemma3", "gemma3_text"),
        stop=_STOP,
        variables={"with_system": True, "image_mark": "<start_of_image>"},
        media={"image": "<start_of_image>"},
        source="google/gemma-3-4b-it",
    )


@plugin
class Gemma3n(FamilyTemplate):
    """Gemma 3n, with images and sound."""

    traits = TemplateFacts(
        name="gemma3n",
        file="gemma.jinja",
        models=(r"gemma-3n-",),
        model_types=("gemma3n",),
        stop=_STOP,
        variables={"with_system": True, "image_mark": "<image_soft_token>", "audio_mark": "<audio_soft_token>"},
        media={"image": "<image_soft_token>", "audio": "<audio_soft_token>"},
        source="google/gemma-3n-E4B-it",
    )


@plugin
class PaliGemmaChat(FamilyTemplate):
    """PaliGemma and PaliGemma 2 trained on conversations, in Gemma's turns; the models themselves know none."""

    traits = TemplateFacts(
        name="paligemma_chat",
        file="gemma.jinja",
        stop=_STOP,
        variables={"with_system": True, "image_mark": "<image>"},
        media={"image": "<image>"},
    )


@plugin
class PaliGemma(FamilyTemplate):
    """PaliGemma and PaliGemma 2: images, a prefix, a line break and what follows it."""

    traits = TemplateFacts(
        name="paligemma",
        file="paligemma.jinja",
        models=(r"paligemma(?:-?2-\d+b)?",),
        model_types=("paligemma",),
        system=False,
        variables={"image_mark": "<image>"},
        media={"image": "<image>"},
        source="google/paligemma-3b-mix-224",
    )


@plugin
class Gemma4(SwitchedTemplate):
    """Gemma 4, which thinks if it is told to, with tools, images, sound and videos."""

    traits = TemplateFacts(
        name="gemma4",
        file="gemma4.jinja",
        models=(r"gemma-4-",),
        model_types=("gemma4", "gemma4_text"),
        stop=("<turn|>", "<|tool_response>"),
        calls=GEMMA,
        thinking=_THINKING,
        media={"image": "<|image|>", "audio": "<|audio|>", "video": "<|video|>"},
        rewrites=_DROPPED,
        aliases={"gemma4n": ""},
        source="google/gemma-4-E4B-it",
    )

    preserve_thinking: bool | None = None  # write, and train, the thoughts of earlier answers that call tools too


@plugin
class Gemma431B(Gemma4):
    """The larger models of Gemma 4, whose prompts say with an empty thought that they are not to think."""

    traits = TemplateFacts(
        name="gemma4_31b",
        file="gemma4.jinja",
        models=(r"gemma-4-\d\d+b",),
        stop=("<turn|>", "<|tool_response>"),
        calls=GEMMA,
        variables={"empty_thought": True},
        thinking=_THINKING,
        media={"image": "<|image|>", "audio": "<|audio|>", "video": "<|video|>"},
        rewrites=_DROPPED,
        source="google/gemma-4-31B-it",
    )


@plugin
class FunctionGemma(FamilyTemplate):
    """FunctionGemma: the format of Gemma 4 with marks of its own, for calls of tools, without thoughts."""

    traits = TemplateFacts(
        name="function_gemma",
        file="gemma4.jinja",
        models=(r"functiongemma",),
        stop=("<end_of_turn>", "<start_function_response>"),
        calls=FUNCTION_GEMMA,
        variables={
            "marks": {
                "quote": "<escape>",
                "system": "developer",
                "turn": "<start_of_turn>",
                "end": "<end_of_turn>",
                "tool": "<start_function_declaration>",
                "tool_end": "<end_function_declaration>",
                "call": "<start_function_call>",
                "call_end": "<end_function_call>",
                "result": "<start_function_response>",
                "result_end": "<end_function_response>",
            }
        },
        rewrites="an answer that ends with a call goes on behind its result",
        source="google/functiongemma-270m-it",
    )


@plugin
class DiffusionGemma(Gemma4):
    """DiffusionGemma: the format of Gemma 4, with a turn of its own for the answer behind results."""

    traits = TemplateFacts(
        name="diffusion_gemma",
        file="gemma4.jinja",
        models=(r"diffusion-?gemma",),
        model_types=("diffusion_gemma",),
        stop=("<turn|>", "<|tool_response>"),
        calls=GEMMA,
        variables={"new_turn_behind_results": True},
        thinking=_THINKING,
        media={"image": "<|image|>", "audio": "<|audio|>", "video": "<|video|>"},
        rewrites=_DROPPED,
        source="google/diffusiongemma",
    )
