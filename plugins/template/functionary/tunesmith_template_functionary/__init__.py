"""The formats of the Functionary models: Llama 3 with functions in the system turn; v3.1 writes calls in tags, v3.2
says before each part of an answer who it is for."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts
from tunesmith_library_chat.calls import CallFormat, naming
from tunesmith_library_chat.shapes import headed

_CALLS = CallFormat("functionary", headed(r"(?:<function=)?(?P<name>[^>\n]+)>"), ("<function=",), ("</function>",))

_RECIPIENTS = CallFormat(
    "functionary_v3_2",
    headed(r"(?:>>>)?(?P<name>[^\n]+)\n"),
    (">>>",),
    begins=naming,
    skips=(">>>all\n",),
)


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


@plugin
class FunctionaryV32(FamilyTemplate):
    """Functionary v3.2."""

    traits = TemplateFacts(
        name="functionary_v3_2",
        file="functionary_v3_2.jinja",
        models=(r"functionary-(small|medium)-v3\.2",),
        stop=("<|eot_id|>",),
        calls=_RECIPIENTS,
        source="meetkai/functionary-medium-v3.2",
    )
