"""The format of the H2O Danube models: `<|prompt|>` and `<|answer|>`."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts


@plugin
class Danube(FamilyTemplate):
    """H2O Danube 1 to 3, which know no system message."""

    traits = TemplateFacts(
        name="h2o_danube",
        file="h2o_danube.jinja",
        models=(r"h2o-danube",),
        system=False,
        aliases={"danube": ""},
        source="h2oai/h2o-danube2-1.8b-chat",
    )
