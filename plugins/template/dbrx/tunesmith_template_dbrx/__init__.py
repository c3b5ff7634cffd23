"""The format of DBRX: ChatML without a line break behind the last turn, and a system message of its own."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts


@plugin
class Dbrx(FamilyTemplate):
    """DBRX."""

    traits = TemplateFacts(
        name="dbrx",
        file="dbrx.jinja",
        models=(r"dbrx",),
        model_types=("dbrx",),
        stop=("<|im_end|>",),
        default_system="You are DBRX, created by Databricks. …",
        source="databricks/dbrx-instruct",
    )
