"""The format of the Bielik models: ChatML with tools and thoughts, instructions in Polish."""

from tunesmith import plugin
from tunesmith_library_chat import SwitchedTemplate, TemplateFacts, Thinking
from tunesmith_library_chat.calls import HERMES


@plugin
class Bielik(SwitchedTemplate):
    """Bielik v2 and v3."""

    traits = TemplateFacts(
        name="bielik",
        file="bielik.jinja",
        models=(r"bielik",),
        stop=("<|im_end|>",),
        calls=HERMES,
        thinking=Thinking(switch="enable_thinking"),
        source="speakleash/Bielik-11B-v3.0-Instruct",
    )
