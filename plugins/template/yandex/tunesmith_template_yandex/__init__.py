"""The format of YandexGPT 5: turns in Russian words, and a mark where an answer is asked for."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts
from tunesmith_library_chat.calls import CallFormat
from tunesmith_library_chat.shapes import headed

_CALL = CallFormat("yandex", headed(r"(?:\[TOOL_CALL_START\])?(?P<name>[^\n]+)\n"), ("[TOOL_CALL_START]",))


@plugin
class YandexGPT5(FamilyTemplate):
    """YandexGPT 5 Lite, with tools; it has no place for a system message."""

    traits = TemplateFacts(
        name="yandexgpt5",
        file="yandexgpt5.jinja",
        models=(r"yandexgpt-5",),
        stop=("</s>",),
        calls=_CALL,
        system=False,
        rewrites="the mark that asks for an answer and the end stand at the last answer alone",
        source="yandex/YandexGPT-5-Lite-8B-instruct",
    )
