"""The format of Baichuan-M2: ChatML turns, tools, thoughts of the last answer."""

from tunesmith import plugin
from tunesmith_library_chat import SwitchedTemplate, TemplateFacts, Thinking
from tunesmith_library_chat.calls import HERMES


@plugin
class BaichuanM2(SwitchedTemplate):
    """Baichuan-M2: thinks, or does not, with tools"""

    traits = TemplateFacts(
        name="baichuan_m2",
        file="baichuan_m2.jinja",
        models=(r"baichuan-m[23]",),
        stop=("<|im_end|>",),
        calls=HERMES,
        thinking=Thinking(switch="enable_thinking"),
        rewrites="thoughts before the last question are dropped",
        source="baichuan-inc/Baichuan-M2-32B",
    )
