"""Which of its tools an answer may call, and whether it must: what OpenAI's API says in `tool_choice`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tunesmith.errors import choices

from .chat_fields import ChatRequest
from .errors import invalid


def choice_of(request: ChatRequest, tools: Collection[str]) -> tuple[str, frozenset[str]]:
    """What `tool_choice`, or `function_call` before it, says.

    Args:
        tools: the names of all that were declared.

    Returns: auto, required, none, or a tool's name; and the names of the tools that may be called.
    Raises: ApiError for a choice that is none, or of a tool that is not there.
    """
    field = "function_call" if request.tool_choice is None and request.function_call is not None else "tool_choice"
    given = getattr(request, field)
    allowed = frozenset(tools)
    if isinstance(given, Mapping) and given.get("type") == "allowed_tools":
        given, allowed = _allowed(given, tools)
    if given is None:
        return ("auto" if tools else "none"), allowed
    choice = given if isinstance(given, str) else _named(given, field)
    if choice in ("auto", "none") and isinstance(given, str):
        return (choice if tools else "none"), allowed
    if not tools:
        raise invalid(f"{field} asks for a call, and no tools are declared", field)
    if choice == "required" and isinstance(given, str):
        return choice, allowed
    if isinstance(given, str) or choice not in tools:
        possible = ["auto", "none", "required"] if isinstance(given, str) else sorted(tools)
        raise invalid(f"{field}: {choice!r} is not possible\n{choices(choice, possible, 'possible')}", field)
    return choice, allowed


def _named(given: Mapping[str, Any], field: str) -> str:
    """The name in `{"type": "function", "function": {"name": …}}`, or in `{"name": …}`."""
    function = given.get("function", given)
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or given.get("type", "function") != "function":
        form = '{"type": "function", "function": {"name": …}}'
        raise invalid(f"{field} names a tool as {form}; found {given}", field)
    return name


def _allowed(given: Mapping[str, Any], tools: Collection[str]) -> tuple[str, frozenset[str]]:
    """A mode, and the tools that are left of all."""
    inner = given.get("allowed_tools")
    inner = inner if isinstance(inner, Mapping) else given
    listed, mode = inner.get("tools"), inner.get("mode", "auto")
    if mode not in ("auto", "required") or not isinstance(listed, list):
        raise invalid("tool_choice.allowed_tools has a mode, auto or required, and a list of tools", "tool_choice")
    names = frozenset(_named(tool, "tool_choice") if isinstance(tool, Mapping) else str(tool) for tool in listed)
    if unknown := sorted(names - set(tools)):
        raise invalid(f"tool_choice: no such tool\n{choices(unknown[0], sorted(tools), 'declared')}", "tool_choice")
    return mode, names
