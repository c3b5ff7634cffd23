"""ChatML as a choice; the template itself is the library's, for `auto` falls back on it too."""

from tunesmith import hookimpl, plugin
from tunesmith_library_chat import ChatTemplate, TemplateFacts, Thinking
from tunesmith_library_chat.calls import HERMES
from tunesmith_library_chat.chatml import CHATML


@plugin
class ChatML:
    """ChatML, with tools and thoughts."""

    traits = TemplateFacts(
        name="chatml",
        models=(r".*chatml.*", r".*dolphin-?[23]\.\d+.*"),  # whatever family they were made of
        stop=("<|im_end|>",),
        calls=HERMES,
        thinking=Thinking(),
    )

    default_system: str | None = None  # system message of conversations that have none

    @hookimpl
    def chat_template(self) -> ChatTemplate:
        return CHATML.with_default_system(self.default_system)
