"""The formats of models that others built on Llama 3: its headers with words of their own."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts
from tunesmith_library_chat.calls import CallFormat
from tunesmith_library_chat.shapes import objects


@plugin
class FireFunction(FamilyTemplate):
    """FireFunction v2: Llama 3 with functions in the system turn, and calls behind `functools`."""

    traits = TemplateFacts(
        name="firefunction",
        file="firefunction.jinja",
        models=(r"firefunction-v2",),
        stop=("<|eot_id|>",),
        default_system="You are a helpful assistant with access to functions.",
        calls=CallFormat("firefunction", objects(), ("functools",)),
        rewrites="every text ends with the beginning of a next turn",
        source="fireworks-ai/llama-3-firefunction-v2",
    )

    functions: str | None = None  # the list of functions as text; null writes the tools of the conversation
    datetime: str | None = None  # of today, in words; null is the date of the run
