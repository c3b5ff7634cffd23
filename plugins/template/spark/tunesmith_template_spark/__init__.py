"""The format of iFLYTEK's Spark 2.5: every thought stays; an answer without one begins with `</think>`."""

from tunesmith import plugin
from tunesmith_library_chat import SwitchedTemplate, TemplateFacts, Thinking
from tunesmith_library_chat.calls import GLM


@plugin
class Spark25(SwitchedTemplate):
    """Spark 2.5: thinks, or does not; a system message of its own in every conversation"""

    traits = TemplateFacts(
        name="spark2_5",
        file="spark.jinja",
        models=(r"spark-?2\.5",),
        stop=("<｜end▁of▁sentence｜>",),
        default_system="you are a helpful assistant.",
        calls=GLM,
        thinking=Thinking(switch="enable_thinking"),
        plain={"enable_thinking": False},
        aliases={"spark": ""},
        source="iflytek/Spark2.5",
    )
