"""What an answer must follow: calls of tools that were asked for, a form of its text, or either."""

from __future__ import annotations

from collections.abc import Callable

from tunesmith.errors import TunesmithError
from tunesmith.types import Conversation

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
        parallel: whether several calls may be made.
        text: gives the grammar of what is said; see `constraint_of`.

    Raises: ApiError.
    """

    def made() -> str | None:
        said = text()
        if not conversation.tools or choice == "none":
            return said
        asked = "required" if said is not None and choice == "auto" else choice
        grammar: Callable[..., str | None] | None = getattr(service.template, "tool_grammar", None)
        if grammar is None and asked == "auto":
            return None
        if grammar is None:
            message = f"template {service.template.name} does not know how calls look, so none can be demanded"
            raise invalid(message, "tool_choice", "unsupported_parameter")
        try:
            called = grammar(service.processor, conversation, asked, parallel)
        except TunesmithError as error:
            raise invalid(error, "tool_choice") from error
        if said is None or choice != "auto":
            return called
        return _either(called, said)

    return await service.in_thread(made, "response_format")


def _either(called: str | None, said: str) -> str:
    """A grammar of calls, or else of what is said."""
    return f"start: calls | text\ncalls: %lark {{\n{called}\n}}\ntext: %lark {{\n{said}\n}}\n" if called else said
