"""The formats of IBM's Granite models: `<|start_of_role|>role<|end_of_role|>` before each turn.

Granite 3 lists tools in a turn of their own, Granite 4 in its system turn; the code models write questions and answers.
"""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking
from tunesmith_library_chat.calls import GRANITE, HERMES

_STOP = ("<|end_of_text|>",)


@plugin
class Granite3(SwitchedTemplate):
    """Granite 3.2 and 3.3, and 3.1 with dates as of 3.3; thoughts only where they are switched on."""

    traits = TemplateFacts(
        name="granite3",
        file="granite3.jinja",
        models=(r"granite-3", r"granite-4\.0-tiny-(base-)?preview"),
        stop=_STOP,
        default_system="Knowledge Cutoff Date: April 2024. … You are Granite, developed by IBM. …",
        calls=GRANITE,
        thinking=Thinking(switch="thinking"),
        aliases={"granite3_3": "Granite 3.0 is template=granite3_0"},
        source="ibm-granite/granite-3.3-2b-instruct",
    )


@plugin
class Granite30(FamilyTemplate):
    """Granite 3.0, without a system message of its own."""

    traits = TemplateFacts(
        name="granite3_0",
        file="granite3_0.jinja",
        models=(r"granite-3\.0",),
        stop=_STOP,
        calls=GRANITE,
        source="ibm-granite/granite-3.0-8b-instruct",
    )


@plugin
class Granite4(FamilyTemplate):
    """Granite 4.0."""

    traits = TemplateFacts(
        name="granite4",
        file="granite4.jinja",
        models=(r"granite-4",),
        model_types=("granitemoehybrid",),
        stop=_STOP,
        default_system="You are a helpful assistant. Please ensure responses are professional, accurate, and safe.",
        calls=HERMES,
        variables={"with_default": True},
        source="ibm-granite/granite-4.0-h-tiny",
    )


@plugin
class Granite41(FamilyTemplate):
    """Granite 4.1: the format of 4.0 without a system message of its own."""

    traits = TemplateFacts(
        name="granite4_1",
        file="granite4.jinja",
        models=(r"granite-4\.1",),
        stop=_STOP,
        calls=HERMES,
        source="ibm-granite/granite-4.1-8b",
    )


@plugin
class GraniteCode(FamilyTemplate):
    """Granite Code: `Question:` and `Answer:`."""

    traits = TemplateFacts(
        name="granite_code",
        file="granite_code.jinja",
        models=(r"granite-\d+b-code-instruct",),
        source="ibm-granite/granite-8b-code-instruct",
    )


@plugin
class Granite3Vision(FamilyTemplate):
    """Granite Vision 3.1 to 3.3."""

    traits = TemplateFacts(
        name="granite3_vision",
        file="granite3_vision.jinja",
        models=(r"granite-vision", r"granite-3\.\d-.*vision"),
        stop=_STOP,
        default_system="A chat between a curious user and an artificial intelligence assistant. …",
        media={"image": "<image>"},
        source="ibm-granite/granite-vision-3.2-2b",
    )
