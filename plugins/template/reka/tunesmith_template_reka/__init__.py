"""The format of Reka's models: names before the turns, `<sep>` behind them."""

from tunesmith import plugin
from tunesmith_library_chat import SwitchedTemplate, TemplateFacts, Thinking
from tunesmith_library_chat.calls import HERMES


@plugin
class RekaEdge(SwitchedTemplate):
    """Reka Edge, which thinks only if told to, with tools, images and videos."""

    traits = TemplateFacts(
        name="reka_edge",
        file="reka_edge.jinja",
        models=(r"reka-edge",),
        stop=("<sep>",),
        calls=HERMES,
        thinking=Thinking(switch="enable_thinking"),
        media={"image": "<REKA_IMG_TOKEN>", "video": "<REKA_IMG_TOKEN>"},
        rewrites="with enable_thinking=true only answers behind the last question show their thoughts",
        source="RekaAI/reka-edge",
    )
