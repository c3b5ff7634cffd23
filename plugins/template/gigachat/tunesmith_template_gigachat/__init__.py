"""The formats of Sber's GigaChat models: a long message of the developer first, tools as types of TypeScript."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts
from tunesmith_library_chat.calls import CallFormat
from tunesmith_library_chat.shapes import objects

_ENDED = "for training the end of sequence stands behind the last answer alone"
_TURN = "function call<|role_sep|>\n"
_CALLS_3 = CallFormat("gigachat_3", objects(), (f"<|message_sep|>\n\n{_TURN}", _TURN))
_CALLS_3_1 = CallFormat("gigachat_3_1", objects(), ("<|function_call|>",))


@plugin
class GigaChat20B(FamilyTemplate):
    """GigaChat-20B-A3B, without tools."""

    traits = TemplateFacts(
        name="gigachat_20b",
        file="gigachat_20b.jinja",
        models=(r"gigachat-20b-a3b-instruct",),
        stop=("<|message_sep|>",),
        source="ai-sage/GigaChat-20B-A3B-instruct",
    )


@plugin
class GigaChat3(FamilyTemplate):
    """GigaChat 3, with one call of a tool in a turn."""

    traits = TemplateFacts(
        name="gigachat3",
        file="gigachat.jinja",
        models=(r"gigachat-?3",),
        calls=_CALLS_3,
        variables={"third": True},
        rewrites=_ENDED,
        source="ai-sage/GigaChat3-10B-A1.8B",
    )


@plugin
class GigaChat31(FamilyTemplate):
    """GigaChat 3.1, with one call of a tool in a turn, behind a mark of its own."""

    traits = TemplateFacts(
        name="gigachat3_1",
        file="gigachat.jinja",
        models=(r"gigachat-?3\.1",),
        calls=_CALLS_3_1,
        rewrites=_ENDED,
        source="ai-sage/GigaChat3.1-10B-A1.8B",
    )
