"""The formats of the Yi models: ChatML turns; Yi-1.5 writes the system message bare."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts
from tunesmith_library_chat.facts import tuned

_CHATML = {
    "system_open": "<|im_start|>system\n",
    "system_close": "<|im_end|>\n",
    "user_open": "<|im_start|>user\n",
    "user_close": "<|im_end|>\n",
    "answer_open": "<|im_start|>assistant\n",
    "answer_end": "<|im_end|>",
    "answer_close": "\n",
}


@plugin
class Yi(FamilyTemplate):
    """Yi: ChatML"""

    traits = TemplateFacts(
        name="yi",
        file="turns.jinja",
        models=(r"^yi-\d+b-chat", tuned("^yi")),
        stop=("<|im_end|>",),
        variables={**_CHATML, "systems": True},
        source="01-ai/Yi-34B-Chat",
    )


@plugin
class Yi15(FamilyTemplate):
    """Yi 1.5: ChatML, the system message bare before the first turn"""

    traits = TemplateFacts(
        name="yi1_5",
        file="turns.jinja",
        models=(r"yi-1\.5.*chat", tuned(r"yi-1\.5")),
        stop=("<|im_end|>",),
        variables={**_CHATML, "system_open": "", "system_close": "", "question_asks": True},
        source="01-ai/Yi-1.5-34B-Chat",
    )


@plugin
class YiCoder(FamilyTemplate):
    """Yi-Coder: ChatML"""

    traits = TemplateFacts(
        name="yi_coder",
        file="turns.jinja",
        models=("yi-coder.*chat",),
        stop=("<|im_end|>",),
        variables={**_CHATML, "question_asks": True},
        source="01-ai/Yi-Coder-9B-Chat",
    )
