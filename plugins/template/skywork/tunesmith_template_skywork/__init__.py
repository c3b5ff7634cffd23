"""The formats of Skywork's reasoning models."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts, Thinking, ThinkingTemplate

_SKYWORK_O1 = (
    "You are Skywork-o1, a thinking model developed by Skywork AI, specializing in solving complex "
    "problems involving mathematics, coding, and logical reasoning through deep thought. When faced "
    "with a user's request, you first engage in a lengthy and in-depth thinking process to explore "
    "possible solutions to the problem. After completing your thoughts, you then provide a detailed "
    "explanation of the solution process in your response."
)


@plugin
class SkyworkO1(FamilyTemplate):
    """Skywork-o1: the headers of Llama 3 with a system message of its own"""

    traits = TemplateFacts(
        name="skywork_o1",
        file="turns.jinja",
        models=("skywork-o1",),
        stop=("<|eot_id|>",),
        variables={
            "bos": True,
            "trim": True,
            "system_open": "<|start_header_id|>system<|end_header_id|>\n\n",
            "system_close": "<|eot_id|>",
            "user_open": "<|start_header_id|>user<|end_header_id|>\n\n",
            "user_close": "<|eot_id|>",
            "answer_open": "<|start_header_id|>assistant<|end_header_id|>\n\n",
            "answer_end": "<|eot_id|>",
            "own_system": _SKYWORK_O1,
        },
        source="Skywork/Skywork-o1-Open-Llama-3.1-8B",
    )


@plugin
class SkyworkOR1(ThinkingTemplate):
    """Skywork-OR1: the turns of DeepSeek-R1; its answers open their thoughts themselves"""

    traits = TemplateFacts(
        name="skywork_or1",
        file="skywork_or1.jinja",
        models=("skywork-or1",),
        stop=("<｜end▁of▁sentence｜>",),
        thinking=Thinking(),
        rewrites="only the last answer keeps its thought",
        source="Skywork/Skywork-OR1-7B",
    )
