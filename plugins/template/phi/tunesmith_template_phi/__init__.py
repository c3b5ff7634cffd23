"""The formats of Microsoft's Phi models: `<|user|>`, `<|assistant|>` and `<|end|>`; Phi-4 writes `<|im_sep|>` turns.

A whole conversation ends with `<|endoftext|>`, which is no part of an answer.
"""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts, Thinking, ThinkingTemplate
from tunesmith_library_chat.calls import PHI

_STOP = ("<|end|>",)
_END = "the end of the text moves behind the last turn"


@plugin
class Phi(FamilyTemplate):
    """Phi-3.5, and mixtures of experts."""

    traits = TemplateFacts(
        name="phi",
        file="phi.jinja",
        models=(r"phi-3\.5", r"phi-tiny-moe", r"phi-mini-moe"),
        stop=_STOP,
        variables={"ends": True},
        rewrites=_END,
        aliases={"phi3_5": ""},
        source="microsoft/Phi-3.5-mini-instruct",
    )


@plugin
class Phi3(FamilyTemplate):
    """Phi-3-mini, with a turn for an empty system message too."""

    traits = TemplateFacts(
        name="phi3",
        file="phi.jinja",
        models=(r"phi-3",),
        stop=_STOP,
        variables={"ends": True, "empty_system": True},
        rewrites=_END,
        source="microsoft/Phi-3-mini-4k-instruct",
    )


@plugin
class Phi3Medium(FamilyTemplate):
    """Phi-3-medium, which knows no system message."""

    traits = TemplateFacts(
        name="phi3_medium",
        file="phi3_medium.jinja",
        models=(r"phi-3-medium", r"phi-3-14b"),
        stop=_STOP,
        system=False,
        source="microsoft/Phi-3-medium-128k-instruct",
    )


@plugin
class Phi3Mini2024(FamilyTemplate):
    """The first Phi-3-mini, of April 2024: that of Phi-3-medium behind the beginning of the text."""

    traits = TemplateFacts(
        name="phi3_mini_first",
        file="phi3_medium.jinja",
        stop=_STOP,
        system=False,
        variables={"begins": True},
        source="microsoft/Phi-3-mini-128k-instruct",
    )


@plugin
class PhiSmall(FamilyTemplate):
    """Phi-3-small."""

    traits = TemplateFacts(
        name="phi_small",
        file="phi.jinja",
        models=(r"phi-3-small", r"phi-3-7b"),
        model_types=("phi3small",),
        stop=_STOP,
        variables={"begins": True, "ends": True, "empty_system": True},
        rewrites=_END,
        source="microsoft/Phi-3-small-8k-instruct",
    )


@plugin
class Phi3Vision(FamilyTemplate):
    """Phi-3-vision and Phi-3.5-vision."""

    traits = TemplateFacts(
        name="phi3_vision",
        file="phi.jinja",
        models=(r"phi-3(\.5)?-vision",),
        model_types=("phi3_v",),
        stop=_STOP,
        variables={"empty_system": True},
        source="microsoft/Phi-3-vision-128k-instruct",
    )


@plugin
class Phi4(FamilyTemplate):
    """Phi-4."""

    traits = TemplateFacts(
        name="phi4",
        file="phi4.jinja",
        models=(r"phi-4",),
        stop=("<|im_end|>",),
        source="microsoft/phi-4",
    )


@plugin
class Phi4Reasoning(ThinkingTemplate):
    """Phi-4-reasoning and Phi-4-reasoning-plus, which always think."""

    traits = TemplateFacts(
        name="phi4_reasoning",
        file="phi4.jinja",
        models=(r"phi-4-reasoning",),
        stop=("<|im_end|>",),
        default_system="You are Phi, a language model trained by Microsoft to help users. …",
        thinking=Thinking(),
        variables={"thinking": True},
        source="microsoft/Phi-4-reasoning",
    )


@plugin
class Phi4Mini(FamilyTemplate):
    """Phi-4-mini and Phi-4-multimodal, with tools."""

    traits = TemplateFacts(
        name="phi4_mini",
        file="phi.jinja",
        models=(r"phi-4-mini", r"phi-4-multimodal", r"phi-4-3\.8b"),
        stop=_STOP,
        calls=PHI,
        variables={"ends": True, "with_tools": True, "breaks": False, "empty_system": True},
        rewrites=_END,
        source="microsoft/Phi-4-mini-instruct",
    )
