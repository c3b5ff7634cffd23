"""The format of the Apertus models: a turn for the developer says whether to deliberate and which tools there are."""

from tunesmith import plugin
from tunesmith_library_chat import SwitchedTemplate, TemplateFacts, Thinking
from tunesmith_library_chat.calls import CallFormat
from tunesmith_library_chat.shapes import headed

_CALLS = CallFormat(
    "apertus", headed(r'[\[,]?\s*\{"(?P<name>[^"]+)":\s*', r"\}\s*\]?"), ("<|tools_prefix|>",), ("<|tools_suffix|>",)
)


@plugin
class Apertus(SwitchedTemplate):
    """Apertus, which deliberates or does not, with tools."""

    traits = TemplateFacts(
        name="apertus",
        file="apertus.jinja",
        models=(r"apertus",),
        model_types=("apertus",),
        stop=("<|assistant_end|>", "<|tools_suffix|>"),
        default_system="You are Apertus, a helpful assistant created by the SwissAI initiative. …",
        calls=_CALLS,
        thinking=Thinking("<|inner_prefix|>", "<|inner_suffix|>", switch="enable_thinking"),
        rewrites="the end of an answer is written when the next turn begins",
        source="swiss-ai/Apertus-8B-Instruct-2509",
    )
