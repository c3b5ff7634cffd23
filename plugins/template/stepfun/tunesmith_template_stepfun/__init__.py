"""The format of StepFun's Step 3.5, which always thinks."""

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
