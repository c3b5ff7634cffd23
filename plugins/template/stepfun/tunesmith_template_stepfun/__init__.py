"""The formats of StepFun's Step 3.5 and 3.7, which always think."""

from tunesmith import plugin
from tunesmith_library_chat import TemplateFacts, Thinking, ThinkingTemplate
from tunesmith_library_chat.calls import QWEN_XML


@plugin
class Step35(ThinkingTemplate):
    """Step 3.5: always thinks, with tools and images"""

    traits = TemplateFacts(
        name="step3_5",
        file="step3_5.jinja",
        models=(r"step-?3\.",),
        stop=("<|im_end|>",),
        calls=QWEN_XML,
        thinking=Thinking(),
        media={"image": "<im_patch>"},
        rewrites="thoughts before the last question are dropped",
        aliases={"step3": "", "stepfun": ""},
        source="stepfun-ai/Step-3.5-Flash",
    )


@plugin
class Step37(ThinkingTemplate):
    """Step 3.7: as 3.5, and thinks as hard as `reasoning_effort` says"""

    traits = TemplateFacts(
        name="step3_7",
        file="step3_5.jinja",
        models=(r"step-?3\.7",),
        stop=("<|im_end|>",),
        calls=QWEN_XML,
        thinking=Thinking(),
        media={"image": "<im_patch>"},
        variables={"later": True},
        rewrites="thoughts before the last question are dropped",
        source="stepfun-ai/Step-3.7-Flash",
    )

    reasoning_effort: str | None = None  # low, medium or high; null says nothing
    preserve_thinking: bool | None = None  # write, and train, the thoughts of answers before the last question too
