"""The format of Nous Research's Hermes 2 Pro and 3: ChatML, tools as Python signatures."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts
from tunesmith_library_chat.calls import HERMES


@plugin
class Hermes(FamilyTemplate):
    """Hermes 2 Pro and 3: ChatML behind the begin of sequence, with tools"""

    traits = TemplateFacts(
        name="hermes",
        file="hermes.jinja",
        models=("hermes-2-pro", r"hermes-3(-llama-3\.\d)?", "hermes-2-theta"),
        stop=("<|im_end|>",),
        calls=HERMES,
        aliases={"hermes_2_pro": ""},
        source="NousResearch/Hermes-2-Pro-Llama-3-8B",
    )


@plugin
class OpenHermes(FamilyTemplate):
    """OpenHermes 2 and 2.5: ChatML"""

    traits = TemplateFacts(
        name="openhermes",
        file="turns.jinja",
        models=("openhermes-2", "hermes-2-(llama|mistral|mixtral|yi|dpo)"),
        stop=("<|im_end|>",),
        variables={
            "user_open": "<|im_start|>user\n",
            "user_close": "<|im_end|>\n",
            "answer_open": "<|im_start|>assistant\n",
            "answer_end": "<|im_end|>",
            "answer_close": "\n",
            "system_open": "<|im_start|>system\n",
            "system_close": "<|im_end|>\n",
        },
        source="teknium/OpenHermes-2.5-Mistral-7B",
    )
