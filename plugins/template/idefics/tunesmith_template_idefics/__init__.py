"""The formats of Idefics3 and SmolVLM: `User:` and `Assistant:`, each turn ended by `<end_of_utterance>`."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts

_STOP = ("<end_of_utterance>",)


@plugin
class Idefics3(FamilyTemplate):
    """Idefics3."""

    traits = TemplateFacts(
        name="idefics3",
        file="idefics.jinja",
        models=(r"idefics-?3",),
        model_types=("idefics3",),
        stop=_STOP,
        variables={"start": "<|begin_of_text|>"},
        media={"image": "<image>"},
        source="HuggingFaceM4/Idefics3-8B-Llama3",
    )


@plugin
class Smolvlm(FamilyTemplate):
    """SmolVLM and SmolVLM2."""

    traits = TemplateFacts(
        name="smolvlm",
        file="idefics.jinja",
        models=(r"smolvlm",),
        model_types=("smolvlm",),
        stop=_STOP,
        variables={"start": "<|im_start|>"},
        media={"image": "<image>"},
        source="HuggingFaceTB/SmolVLM-Instruct",
    )
