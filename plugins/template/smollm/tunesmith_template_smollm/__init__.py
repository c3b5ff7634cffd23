"""The formats of Hugging Face's SmolLM models: ChatML; SmolLM3 says in its system turn whether to think."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking
from tunesmith_library_chat.calls import HERMES

_STOP = ("<|im_end|>",)


@plugin
class Smollm(FamilyTemplate):
    """SmolLM."""

    traits = TemplateFacts(
        name="smollm",
        file="smollm.jinja",
        models=(r"smollm-(?![23]-)",),
        stop=_STOP,
        source="HuggingFaceTB/SmolLM-1.7B-Instruct",
    )


@plugin
class Smollm2(FamilyTemplate):
    """SmolLM2."""

    traits = TemplateFacts(
        name="smollm2",
        file="smollm.jinja",
        models=(r"smollm2-",),
        stop=_STOP,
        default_system="You are a helpful AI assistant named SmolLM, trained by Hugging Face",
        variables={"own_system": "You are a helpful AI assistant named SmolLM, trained by Hugging Face"},
        source="HuggingFaceTB/SmolLM2-1.7B-Instruct",
    )


@plugin
class Smollm3(SwitchedTemplate):
    """SmolLM3, which thinks or does not, with tools."""

    traits = TemplateFacts(
        name="smollm3",
        file="smollm3.jinja",
        models=(r"smollm3-",),
        model_types=("smollm3",),
        stop=_STOP,
        default_system="You are a helpful AI assistant named SmolLM, trained by Hugging Face. …",
        calls=HERMES,
        thinking=Thinking(switch="enable_thinking"),
        source="HuggingFaceTB/SmolLM3-3B",
    )
