"""The formats of Cohere's Command and Aya models.

Command R lists tools as Python functions and asks for actions; later models have a preamble, and say apart what is a
thought, an action and a response.
"""

from dataclasses import replace

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking, ThinkingTemplate
from tunesmith_library_chat.calls import COMMAND, COMMAND_R

from tunesmith_template_cohere.prompts import COMMAND_A, COMMAND_R7B, NORTH, TINY_AYA

_STOP = ("<|END_OF_TURN_TOKEN|>",)
_THINKING = Thinking("<|START_THINKING|>", "<|END_THINKING|>")
_OPEN = "every text ends with the beginning of a next turn"


@plugin
class Cohere(FamilyTemplate):
    """Command R, Command R+, Aya 23 and Aya Expanse, with tools."""

    traits = TemplateFacts(
        name="cohere",
        file="cohere.jinja",
        models=(r"command-?r-(v01|plus|08)", r"command-?r-\d+b", r"aya-23", r"aya-expanse"),
        model_types=("cohere",),
        stop=_STOP,
        calls=COMMAND_R,
        rewrites="the instruction to act moves to the end",
        aliases={"command_r": "", "aya": ""},
        source="CohereForAI/c4ai-command-r-plus",
    )


@plugin
class CommandA(ThinkingTemplate):
    """Command A, with tools."""

    traits = TemplateFacts(
        name="command_a",
        file="command_a.jinja",
        models=(r"command-a",),
        stop=_STOP,
        default_system="",
        calls=COMMAND,
        thinking=_THINKING,
        variables={**COMMAND_A, "open_end": True},
        rewrites=_OPEN,
        source="CohereForAI/c4ai-command-a-03-2025",
    )


@plugin
class CommandR7B(SwitchedTemplate):
    """Command R7B, with tools, which thinks if it is told to."""

    traits = TemplateFacts(
        name="command_r7b",
        file="command_a.jinja",
        models=(r"command-?r7b",),
        stop=_STOP,
        default_system="",
        calls=COMMAND,
        thinking=Thinking("<|START_THINKING|>", "<|END_THINKING|>", switch="enable_thinking"),
        variables={**COMMAND_R7B, "open_end": True, "switched": True},
        rewrites=_OPEN,
        source="CohereForAI/c4ai-command-r7b-12-2024",
    )


@plugin
class North(SwitchedTemplate):
    """North Mini Code, a mixture of experts, which thinks or does not, with tools and images."""

    traits = TemplateFacts(
        name="north",
        file="north.jinja",
        models=(r"north-mini",),
        model_types=("cohere2_moe",),
        stop=_STOP,
        calls=replace(COMMAND, skips=("<|START_TEXT|>", "<|END_TEXT|>")),
        thinking=replace(_THINKING, switch="reasoning"),
        media={"image": "<|IMG_PATCH|>"},
        variables={"platform": NORTH},
        plain={"reasoning": False},
        rewrites="only the last answer is asked for with the beginning of a thought",
        source="CohereLabs/North-Mini-Code",
    )


@plugin
class TinyAya(FamilyTemplate):
    """Tiny Aya."""

    traits = TemplateFacts(
        name="tiny_aya",
        file="command_a.jinja",
        models=(r"tiny-aya",),
        stop=_STOP,
        variables=TINY_AYA,
        source="CohereLabs/tiny-aya-global",
    )
