"""The format of the Functionary models: Llama 3.1 with functions in the system turn and calls in tags."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts
from tunesmith_library_chat.calls import CallFormat
from tunesmith_library_chat.shapes import headed

_CALLS = CallFormat("functionary", headed(r"(?:<function=)?(?P<name>[^>\n]+)>"), ("<function=",), ("</function>",))


@plugin
class Functionary(FamilyTemplate):
    """Functionary v3.1."""

    traits = TemplateFacts(
        name="functionary",
        file="functionary.jinja",
        models=(r"functionary-(small|medium)-v3\.1",),
        stop=("<|eot_id|>", "<|eom_id|>"),
        calls=_CALLS,
        source="meetkai/functionary-medium-v3.1",
    )
