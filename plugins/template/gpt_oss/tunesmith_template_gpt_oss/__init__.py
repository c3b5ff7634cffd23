"""The format of gpt-oss, Harmony: channels for thoughts, calls and answers, tools as TypeScript.

The last answer ends with `<|return|>`, earlier ones with `<|end|>`; thoughts before a given answer are dropped.
"""

from tunesmith import plugin
from tunesmith_library_chat import TemplateFacts, Thinking, ThinkingTemplate
from tunesmith_library_chat.calls import HARMONY


@plugin
class GptOss(ThinkingTemplate):
    """gpt-oss-20b and gpt-oss-120b, which think as hard as `reasoning_effort` says."""

    traits = TemplateFacts(
        name="gpt_oss",
        file="gpt_oss.jinja",
        models=(r"gpt-?oss",),
        model_types=("gpt_oss",),
        stop=("<|return|>", "<|call|>"),
        calls=HARMONY,
        thinking=Thinking("<|channel|>analysis<|message|>", "<|end|>"),
        rewrites="the last answer ends with <|return|>, and keeps its thought",
        source="openai/gpt-oss-20b",
    )

    reasoning_effort: str | None = None  # low, medium or high; null is medium
    model_identity: str | None = None  # who the model is told to be; null is ChatGPT
