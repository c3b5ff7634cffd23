"""The format of Muse Glimmer: each part of an answer names who it is for, and calls of tools are written in XML."""

from tunesmith import plugin
from tunesmith_library_chat import TemplateFacts, Thinking, ThinkingTemplate
from tunesmith_library_chat.calls import CallFormat
from tunesmith_library_chat.shapes import elements

_TO_ITSELF, _TO_THE_USER = "to=self<|message|>", "to=user<|message|>"


def _to_a_tool(text: str) -> bool | None:
    """Whether an answer begins with a call; None: not to be said yet."""
    text = text.lstrip()
    if any(other.startswith(text) for other in (_TO_ITSELF, _TO_THE_USER)):
        return None
    return text.startswith("to=") and not text.startswith((_TO_ITSELF, _TO_THE_USER))


_CALLS = CallFormat(
    "muse",
    elements(
        r"(?:to=)?[^<]*<\|message\|>\s*<atem:function_calls>\s*"
        r'<atem:invoke name="(?P<name>[^"]+)">(?P<body>.*?)</atem:invoke>',
        r'<atem:parameter name="(?P<key>[^"]+)">(?P<value>.*?)</atem:parameter>',
        strip="",
    ),
    ("<|start|>assistant to=",),
    ("</atem:function_calls>",),
    begins=_to_a_tool,
    skips=(f"<|start|>assistant {_TO_THE_USER}", _TO_THE_USER, "<|eom|>"),
    inner=("<|message|>", "<atem:function_calls>", "<atem:invoke name=", "<atem:parameter name="),
)


@plugin
class MuseGlimmer(ThinkingTemplate):
    """Muse Glimmer, which thinks as hard as `reasoning_strength` says, with tools, images and videos."""

    traits = TemplateFacts(
        name="muse_glimmer",
        file="muse_glimmer.jinja",
        models=(r"muse-glimmer",),
        model_types=("muse_glimmer",),
        stop=("<|eot|>",),
        calls=_CALLS,
        thinking=Thinking(_TO_ITSELF, "<|eom|>"),
        media={"image": "<|patch|>", "video": "<|video|>"},
        source="muse-glimmer",
    )

    reasoning_strength: str | None = None  # written into the system message; null is high
    knowledge_cutoff: str | None = None  # of conversations without a system message; null is 2026-01-04
