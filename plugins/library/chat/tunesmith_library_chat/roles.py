"""Messages that a template would leave out in silence, or refuse, for it does not know their role, or not there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunesmith.errors import DataError, choices, nearest
from tunesmith.types import Message

from tunesmith_library_chat.rendering import Rendered

Write = Callable[[Sequence[Message]], Rendered]
"""Renders messages. Raises: DataError when the template refuses them."""

_USUAL = ("system", "developer", "user", "assistant", "tool")
_NAMED = re.compile(
    r"\brole\W{0,3}\s*(?:==|!=|in)\s*[(\[]?((?:\s*['\"][\w-]+['\"]\s*,?)+)"
)  # roles in a template's Jinja
_MEANT = {"human": "user", "gpt": "assistant", "model": "assistant", "bot": "assistant", "developer": "system"}
_MEANT |= dict.fromkeys(("function", "observation", "ipython", "tool_response", "function_response"), "tool")
_SAID = "unwritten7f3a"


def unusual(messages: Sequence[Message]) -> list[int]:
    """Which messages are neither a system message first, nor users' and assistants', nor results behind a call."""
    found, called = [], False
    for index, message in enumerate(messages):
        role = message["role"]
        if role != "tool":
            called = bool(message.get("tool_calls"))
        if not (role in ("user", "assistant") or (role == "system" and not index) or (role == "tool" and called)):
            found.append(index)
    return found


def write_whole(
    name: str,
    jinja: str,
    messages: Sequence[Message],
    write: Write,
    *,
    training: bool,
    tools: Sequence[Mapping[str, Any]] | None = None,
) -> Rendered:
    """What is made of messages; for training none of them is left out.

    Args:
        name: of the template.
        messages: in canonical form.
        tools: that are declared to the model.

    Raises: DataError for a message that would be left out or is refused, with the roles that are written there; in
        training also for tools and calls of them that the Jinja never looks at.
    """
    rare = unusual(messages)
    try:
        rendered = write(messages)
    except DataError as error:
        for index in rare:
            if known := _known(jinja, messages, index, write):
                raise DataError(f"{error}\n  {_told(messages, index, known)}") from error
        raise
    if training:
        _refuse_tools(name, jinja, messages, tools, rendered.text)
    if training and rare:
        refuse_left_out(name, jinja, messages, write)
    return rendered


def refuse_left_out(name: str, jinja: str, messages: Sequence[Message], write: Write) -> None:
    """Raises: DataError for a message that would be left out, of those that users and assistants do not say; of theirs,
    too, where one is unusual."""
    rare = unusual(messages)
    others = [
        index
        for index, message in enumerate(messages)
        if message["role"] != "assistant" and (rare or message["role"] != "user") and message.get("content")
    ]
    if others and not _writes(messages, {index: messages[index]["role"] for index in others}, write):
        for index in others:
            if not _writes(messages, {index: messages[index]["role"]}, write):
                told = _told(messages, index, _known(jinja, messages, index, write))
                raise DataError(f"template {name} would leave out a message\n  {told}")


def _refuse_tools(
    name: str, jinja: str, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None, text: str
) -> None:
    """Raises: DataError for tools, and calls of them, of which the Jinja has no word, and the text none either."""
    calls = [call for message in messages for call in message.get("tool_calls") or ()]
    for what, word, given in (("tools", "tools", tools or ()), ("calls of tools", "tool_calls", calls)):
        names = [str((one.get("function") or one).get("name")) for one in given]
        if names and word not in jinja and not any(called in text for called in names):
            raise DataError(
                f"template {name} has no form for {what}, and would leave out {', '.join(names)}.\n"
                f"  use a template that has one, such as template=chatml, or data without tools"
            )


def _told(messages: Sequence[Message], index: int, known: Sequence[str]) -> str:
    role = str(messages[index]["role"])
    meant = next((word for word in (_MEANT.get(role.lower()), role.lower()) if word in known), None)
    line = choices(role, known, "roles that it writes there")
    near = f"   did you mean {meant}?" if meant and not nearest(role, known) else ""
    return f"message {index + 1} of {len(messages)} has the role {role}; {line}{near}"


def _known(jinja: str, messages: Sequence[Message], index: int, write: Write) -> list[str]:
    """The roles that are written where a message stands."""
    named = re.findall(r"[\w-]+", " ".join(_NAMED.findall(jinja)))
    own = str(messages[index]["role"])
    answers = _MEANT.get(own.lower()) == "tool" or (index > 0 and bool(messages[index - 1].get("tool_calls")))
    roles = (role for role in dict.fromkeys((*_USUAL, *named)) if role != own and (answers or role != "tool"))
    return [role for role in roles if _writes(messages, {index: role}, write)]


def _writes(messages: Sequence[Message], roles: Mapping[int, str], write: Write) -> bool:
    """Whether what messages say is written, each with a role; so it is, too, where they may not say something else."""
    changed = [dict(message) for message in messages]
    for index, role in roles.items():
        said = f"{_SAID}{index}z"
        parts = isinstance(changed[index].get("content"), list)
        changed[index] |= {"role": role, "content": [{"type": "text", "text": said}] if parts else said}
        changed[index].pop("tool_calls", None)
    try:
        text = write(changed).text
    except DataError:
        return all(role == messages[index]["role"] for index, role in roles.items())
    return all(f"{_SAID}{index}z" in text for index in roles)
