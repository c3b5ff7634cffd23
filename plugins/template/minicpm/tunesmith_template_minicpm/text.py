"""The formats of the MiniCPM language models."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking
from tunesmith_library_chat.calls import MINICPM

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
class MiniCPM3(FamilyTemplate):
    """MiniCPM 3: ChatML"""

    traits = TemplateFacts(
        name="cpm3",
        file="turns.jinja",
        models=("minicpm3",),
        stop=("<|im_end|>",),
        variables=_CHATML,
        source="openbmb/MiniCPM3-4B",
    )


@plugin
class MiniCPM4(FamilyTemplate):
    """MiniCPM 4: ChatML"""

    traits = TemplateFacts(
        name="cpm4",
        file="turns.jinja",
        models=("minicpm4",),
        stop=("<|im_end|>",),
        variables=_CHATML,
        source="openbmb/MiniCPM4-8B",
    )


@plugin
class MiniCPM5(SwitchedTemplate):
    """MiniCPM 5 1B: thinks, or does not; tools in XML"""

    traits = TemplateFacts(
        name="minicpm5",
        file="minicpm5.jinja",
        models=("minicpm5",),
        stop=("<|im_end|>",),
        calls=MINICPM,
        thinking=Thinking(switch="enable_thinking"),
        rewrites="thoughts before the last question are dropped",
        source="openbmb/MiniCPM5-1B",
    )


@plugin
class MiniCPM52B(SwitchedTemplate):
    """MiniCPM 5 2B: as 1B, but every answer has a thought, be it empty"""

    traits = TemplateFacts(
        name="minicpm5_2b",
        file="minicpm5.jinja",
        models=("minicpm5-2b",),
        stop=("<|im_end|>",),
        calls=MINICPM,
        thinking=Thinking(switch="enable_thinking"),
        variables={"every": True},
        source="openbmb/MiniCPM5-2B",
    )
