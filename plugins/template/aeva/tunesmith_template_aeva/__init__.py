"""The format of Aeva: the turns of GLM, each ended by the mark of the next one."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts

_AEVA = (
    "You are an AI assistant named Aeva created by Zongzhi Lou. Your answer should be friendly, "
    "unbiased, faithful, informative and detailed."
)


@plugin
class Aeva(FamilyTemplate):
    """Aeva: the turns of GLM with a system message of its own"""

    traits = TemplateFacts(
        name="aeva",
        file="turns.jinja",
        models=("aeva",),
        stop=("<|user|>", "<|observation|>"),
        variables={
            "begin": "[gMASK]<sop>",
            "system_open": "<|system|>\n",
            "user_open": "<|user|>\n",
            "next_user_open": "\n",
            "answer_open": "<|assistant|>\n",
            "prompt": "<|assistant|>",
            "answer_end": "<|user|>",
            "own_system": _AEVA,
        },
        source="LLaMA-Factory, template aeva",
    )
