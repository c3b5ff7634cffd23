"""The format of Poolside's Laguna models: a pair of tags around each turn, thoughts before every answer."""

from tunesmith import plugin
from tunesmith_library_chat import SwitchedTemplate, TemplateFacts, Thinking
from tunesmith_library_chat.calls import GLM

_ASSISTANT = (
    "You are a helpful, conversationally-fluent assistant made by Poolside. You are here to be helpful to users "
    "through natural language conversations."
)


@plugin
class Laguna(SwitchedTemplate):
    """Laguna S 2.1."""

    traits = TemplateFacts(
        name="laguna",
        file="laguna.jinja",
        models=(r"laguna-s",),
        stop=("</assistant>",),
        default_system=_ASSISTANT,
        calls=GLM,
        thinking=Thinking(switch="enable_thinking"),
        variables={"own_system": _ASSISTANT},
        source="poolside/Laguna-S-2.1",
    )


@plugin
class LagunaXS2(SwitchedTemplate):
    """Laguna XS.2, which thinks only if told to; line breaks stand around what is said."""

    traits = TemplateFacts(
        name="laguna_xs2",
        file="laguna_xs.jinja",
        models=(r"laguna-xs\.2",),
        stop=("</assistant>",),
        default_system=_ASSISTANT,
        calls=GLM,
        thinking=Thinking(switch="enable_thinking"),
        variables={"own_system": _ASSISTANT},
        source="poolside/Laguna-XS.2",
    )


@plugin
class LagunaXS21(SwitchedTemplate):
    """Laguna XS 2.1, as XS.2 without a system message of its own."""

    traits = TemplateFacts(
        name="laguna_xs2_1",
        file="laguna_xs.jinja",
        models=(r"laguna-xs-2\.1",),
        stop=("</assistant>",),
        calls=GLM,
        thinking=Thinking(switch="enable_thinking"),
        variables={"own_system": ""},
        source="poolside/Laguna-XS-2.1",
    )
