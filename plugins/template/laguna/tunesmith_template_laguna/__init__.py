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
