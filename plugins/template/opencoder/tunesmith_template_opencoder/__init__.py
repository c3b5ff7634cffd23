"""The format of OpenCoder: ChatML with a system message of its own."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts
from tunesmith_library_chat.facts import tuned


@plugin
class OpenCoder(FamilyTemplate):
    """OpenCoder: ChatML with a system message of its own"""

    traits = TemplateFacts(
        name="opencoder",
        file="turns.jinja",
        models=(r"opencoder.*instruct", tuned("opencoder")),
        stop=("<|im_end|>",),
        variables={
            "systems": True,
            "user_open": "<|im_start|>user\n",
            "user_close": "<|im_end|>\n",
            "answer_open": "<|im_start|>assistant\n",
            "answer_end": "<|im_end|>",
            "answer_close": "\n",
            "system_open": "<|im_start|>system\n",
            "system_close": "<|im_end|>\n",
            "own_system": "You are OpenCoder, created by OpenCoder Team.",
        },
        source="infly/OpenCoder-8B-Instruct",
    )
