"""The formats of models that others built on Qwen: ChatML with words of their own."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts
from tunesmith_library_chat.calls import HERMES

_MARCO = (
    "\n"
    "你是一个经过良好训练的AI助手，你的名字是Marco-o1.由阿里国际数字商业集团的AI Business创造.\n"
    "        \n"
    "## 重要！！！！！\n"
    "当你回答问题时，你的思考应该在<Thought>内完成，<Output>内输出你的结果。\n"
    "<Thought>应该尽可能是英文，但是有2个特例，一个是对原文中的引用，另一个是是数学应该使用markdown格式，<Output>内的输出需要遵循用户输入的语言。\n"
    "        "
)
_HELPFUL = "You are a helpful assistant."
_SAILOR = (
    "You are an AI assistant named Sailor created by Sea AI Lab. Your answer should be friendly, unbiased, faithful, "
    "informative and detailed."
)
_SAILOR_14B = (
    "You are an AI assistant named Sailor created by Sea AI Lab. As an AI assistant, you need to answer a series of "
    "questions next, which may include languages such as English, Chinese, Thai, Vietnamese, Indonesian, Malay, and so "
    "on. Your answer should be friendly, unbiased, faithful, informative and detailed."
)


@plugin
class Marco(FamilyTemplate):
    """Marco-o1, which writes `<Thought>` and `<Output>` into its answers."""

    traits = TemplateFacts(
        name="marco",
        file="chatml.jinja",
        models=(r"marco-o1",),
        stop=("<|im_end|>",),
        default_system=_MARCO,
        variables={"standing_system": _MARCO, "name": "Marco-o1", "user": "user", "assistant": "assistant"},
        source="AIDC-AI/Marco-o1",
    )


@plugin
class Sailor(FamilyTemplate):
    """Sailor, whose turns are questions and answers."""

    traits = TemplateFacts(
        name="sailor",
        file="chatml.jinja",
        models=(r"sailor-",),
        stop=("<|im_end|>",),
        default_system=_SAILOR,
        variables={
            "standing_system": _SAILOR,
            "name": "Sailor",
            "user": "question",
            "assistant": "answer",
            "open_end": True,
        },
        rewrites="the last message has an end only once another follows",
        source="sail/Sailor-7B-Chat",
    )


@plugin
class Sailor14B(FamilyTemplate):
    """Sailor of 14B, whose turns are called as ChatML's."""

    traits = TemplateFacts(
        name="sailor_14b",
        file="chatml.jinja",
        models=(r"sailor-14b",),
        stop=("<|im_end|>",),
        default_system=_SAILOR_14B,
        variables={"standing_system": _SAILOR_14B, "name": "Sailor", "user": "user", "assistant": "assistant"},
        source="sail/Sailor-14B-Chat",
    )


@plugin
class XiYanSQL(FamilyTemplate):
    """XiYanSQL-QwenCoder: the first format of Qwen2.5-Coder."""

    traits = TemplateFacts(
        name="xiyan_sql",
        file="qwen.jinja",
        models=(r"xiyansql-qwencoder",),
        stop=("<|im_end|>",),
        default_system=_HELPFUL,
        calls=HERMES,
        variables={"standing_system": _HELPFUL, "braces_doubled": True},
        source="XGenerationLab/XiYanSQL-QwenCoder-32B-2504",
    )
