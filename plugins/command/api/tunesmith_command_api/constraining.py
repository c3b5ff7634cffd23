"""What an answer must follow: calls of tools that were asked for, a form of its text, or either."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tunesmith.errors import TunesmithError
from tunesmith.types import Conversation
from tunesmith_library_chat import ChatTemplate

from .errors import invalid
from .service import Service


async def grammar_of(
    service: Service,
    conversation: Conversation,
    choice: str,
    *,
    parallel: bool = True,
    text: Callable[[], str | None] = lambda: None,
) -> str | None:
    """The grammar of an answer, for `Sampling.grammar`; None where it may be anything.

    Args:
        choice: auto, required, none, or the name of the tool that is to be called.
        parallel: whether several calls may be made; of a tool that is named there is one.
        text: gives the grammar of what is said; see `constraint_of`.

    Raises: ApiError.
    """

    def made() -> str | None:
        said = text()
        if not conversation.tools or choice == "none":
            return said
        refuse_unheard(service.template)
        grammar: Callable[..., str | None] | None = getattr(service.template, "tool_grammar", None)
        if grammar is None and choice == "auto":
            return said
        if grammar is None:
            message = f"template {service.template.name} does not know how calls look, so none can be demanded"
            raise invalid(message, "tool_choice", "unsupported_parameter")
        several = parallel and choice in ("auto", "required")
        try:
            return grammar(service.processor, conversation, choice, several, said if choice == "auto" else None)
        except TunesmithError as error:
            raise invalid(error, "tool_choice") from error

    return await service.in_thread(made, "response_format")


def refuse_unheard(template: Any) -> None:
    """Refuse tools of which a template tells the model nothing, or whose calls could not be told from text.

    Raises: ApiError.
    """
    if not isinstance(template, ChatTemplate):
        return  # it reads answers in a way of its own
    if "tools" not in template.jinja:
        why = "tells the model of no tools"
    elif template.calls is None:
        why = "does not say how the model writes calls, so they would be text"
    else:
        return
    message = f"tools are not supported: template {template.name} {why}.\n  possible: leave tools out"
    raise invalid(message, "tools", "unsupported_parameter")
