"""The formats of Upstage's Solar models."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts


@plugin
class Solar(FamilyTemplate):
    """SOLAR 10.7B: `### User:` and `### Assistant:`."""

    traits = TemplateFacts(
        name="solar",
        file="solar.jinja",
        models=(r"solar-10\.7b",),
        source="upstage/SOLAR-10.7B-Instruct-v1.0",
    )
