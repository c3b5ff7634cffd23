"""The formats of China Telecom's TeleChat models."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts
from tunesmith_library_chat.calls import HERMES


@plugin
class TeleChat(FamilyTemplate):
    """TeleChat 1: `<_user>…<_bot>…<_end>`, the system message bare"""

    traits = TemplateFacts(
        name="telechat",
        file="turns.jinja",
        models=(r"telechat-(?!2-)",),
        stop=("<_end>",),
        variables={"trim_system": True, "user_open": "<_user>", "user_close": "<_bot>", "answer_end": "<_end>"},
        source="Tele-AI/TeleChat-12B",
    )


@plugin
class TeleChat2(FamilyTemplate):
    """TeleChat2: with a system message of its own and tools"""

    traits = TemplateFacts(
        name="telechat2",
        file="telechat2.jinja",
        models=("telechat2",),
        stop=("<_end>",),
        default_system="你是中国电信星辰语义大模型，英文名是TeleChat，…",
        calls=HERMES,
        source="Tele-AI/TeleChat2-7B-32K",
    )
