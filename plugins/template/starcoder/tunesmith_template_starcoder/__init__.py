"""The format of StarCoder2 Instruct: instructions and responses."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts


@plugin
class Starcoder2(FamilyTemplate):
    """StarCoder2 Instruct, which knows no system message."""

    traits = TemplateFacts(
        name="starcoder2",
        file="starcoder2.jinja",
        models=(r"starcoder2-15b-instruct", r"starcoder2-instruct"),
        system=False,
        rewrites="the header of the next answer ends every text",
        source="bigcode/starcoder2-15b-instruct-v0.1",
    )
