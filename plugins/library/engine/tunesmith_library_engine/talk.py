"""A conversation that grows turn by turn, and how its answers are chosen."""

from __future__ import annotations

import json
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from tunesmith.errors import TunesmithError, choices
from tunesmith.types import Conversation, Message, Sampling

from tunesmith_library_engine.showing import Medium, with_bytes, with_media

_TEMPLATE = "template."  # what stands before a variable of the template among the settings
_TAKEN = ("self", "messages", "tools", "training", "add_generation_prompt", "continue_final_message")  # no variables
_NOTHING = ("", "default", "none", "null")  # values that leave a setting to the engine
_TYPES = typing.get_type_hints(Sampling)
_OF_TOKENS = ("logit_bias", "stop_token_ids")  # which nobody types
SETTINGS = (*(item.name for item in fields(Sampling) if item.name not in _OF_TOKENS), "stop")


@dataclass
class Talk:
    """The turns of one conversation; a question without an answer may stand at the end of them."""

    messages: list[Message] = field(default_factory=list)
    tools: list[dict[str, Any]] | None = None
    variables: dict[str, Any] = field(default_factory=dict)  # for the template
    settings: dict[str, Any] = field(default_factory=dict)  # of `Sampling`
    stop: tuple[str, ...] = ()
    media: list[Medium] = field(default_factory=list)  # for the next question

    @property
    def conversation(self) -> Conversation:
        """What is to be answered. Raises: TunesmithError for a file that cannot be read."""
        return Conversation([with_bytes(each) for each in self.messages], self.tools, dict(self.variables))

    @property
    def sampling(self) -> Sampling:
        return Sampling(**self.settings)

    @property
    def waiting(self) -> list[dict[str, Any]]:
        """The calls of the last answer whose results are not given yet."""
        given = 0
        while given < len(self.messages) and self.messages[-1 - given]["role"] == "tool":
            given += 1
        before = self.messages[: len(self.messages) - given]
        return list((before[-1].get("tool_calls") or [])[given:]) if before else []

    @property
    def asked(self) -> bool:
        """Whether the last message is to be answered."""
        return bool(self.messages) and self.messages[-1]["role"] in ("user", "tool") and not self.waiting

    def ask(self, text: str) -> None:
        """Add a question with the media that wait for one, in the place of one that has no answer.

        Raises: TunesmithError for a text with another number of marks than media.
        """
        content = with_media(text, self.media)
        if self.messages and self.messages[-1]["role"] == "user":
            self.messages.pop()
        self.messages.append({"role": "user", "content": content})
        self.media = []

    def answer(self, text: str, thought: str = "", calls: Sequence[dict[str, Any]] = ()) -> None:
        """Add an answer; its calls get an id where they have none, in the one form that every template takes."""
        message: Message = {"role": "assistant", "content": text}
        if thought:
            message["reasoning"] = thought
        if calls:
            before = sum(len(earlier.get("tool_calls") or ()) for earlier in self.messages)
            message["tool_calls"] = [
                {**call, "id": call.get("id") or f"call{number:05d}"} for number, call in enumerate(calls, before + 1)
            ]
        self.messages.append(message)

    def give(self, result: str) -> None:
        """Add what the first of the waiting calls gave. Raises: TunesmithError where none waits."""
        if not self.waiting:
            raise TunesmithError("no call of a tool waits for its result")
        call = self.waiting[0]
        made = {"role": "tool", "name": call["function"]["name"], "content": result}
        self.messages.append(made | ({"tool_call_id": call["id"]} if call.get("id") else {}))

    def be_told(self, system: str) -> None:
        """Set the system message; an empty one takes it away."""
        told = self.messages[:1] if self.system else []
        self.messages[: len(told)] = [{"role": "system", "content": system}] if system else []

    @property
    def system(self) -> str:
        first = self.messages[0] if self.messages else {}
        return str(first["content"]) if first.get("role") == "system" else ""

    def clear(self) -> None:
        """Forget all turns; the system message and the tools stay."""
        del self.messages[1 if self.system else 0 :]
        self.media = []

    def undo(self) -> None:
        """Take back the last question and all that came of it. Raises: TunesmithError where there is none."""
        places = [place for place, message in enumerate(self.messages) if message["role"] == "user"]
        if not places:
            raise TunesmithError("there is no question to take back")
        del self.messages[places[-1] :]

    def again(self) -> None:
        """Take back the last answer, if there is one. Raises: TunesmithError where nothing was asked."""
        end, unfinished = len(self.messages), bool(self.waiting)
        while end and self.messages[end - 1]["role"] in ("assistant", *(["tool"] if unfinished else [])):
            unfinished = unfinished and self.messages[end - 1]["role"] == "tool"
            end -= 1
        if not end or self.messages[end - 1]["role"] == "system":
            raise TunesmithError("there is no question to answer again")
        del self.messages[end:]

    @property
    def answered(self) -> list[Message]:
        """The turns up to the last answer."""
        end = len(self.messages)
        while end and self.messages[end - 1]["role"] != "assistant":
            end -= 1
        return self.messages[:end]

    def set(self, name: str, value: str) -> None:
        """Change one setting.

        Args:
            name: a field of `Sampling`, `stop`, or `template.` and a variable of the template.
            value: as it was written; `default` leaves the setting to the engine.

        Raises: TunesmithError for an unknown name, and for a value that it does not take.
        """
        if name.startswith(_TEMPLATE):
            self._set_variable(name.removeprefix(_TEMPLATE), value)
        elif name == "stop":
            self.stop = () if value in _NOTHING else _strings(value)
        elif name not in SETTINGS:
            advice = choices(name, [*SETTINGS, f"{_TEMPLATE}enable_thinking"])
            raise TunesmithError(f"there is no setting {name}.\n{advice}")
        elif value in _NOTHING:
            self.settings.pop(name, None)
        else:
            changed = {**self.settings, name: _typed(name, value)}
            Sampling(**changed)  # refuses what is out of range
            self.settings = changed

    def _set_variable(self, name: str, value: str) -> None:
        if not name.isidentifier() or name in _TAKEN:
            raise TunesmithError(f"{_TEMPLATE}{name} is no variable of a template")
        if value in _NOTHING:
            self.variables.pop(name, None)
            return
        try:
            self.variables[name] = json.loads(value)
        except ValueError:
            self.variables[name] = value

    @property
    def chosen(self) -> dict[str, Any]:
        """The settings that are not left to the engine, by the names that `set` takes."""
        variables = {f"{_TEMPLATE}{name}": value for name, value in self.variables.items()}
        return {**self.settings, **({"stop": ", ".join(map(repr, self.stop))} if self.stop else {}), **variables}


def _strings(value: str) -> tuple[str, ...]:
    """One string as it stands, or those of a list in JSON. Raises: TunesmithError for an empty one in it."""
    try:
        listed = json.loads(value)
    except ValueError:
        listed = None
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        return (value.replace("\\n", "\n"),)
    if not all(listed):
        raise TunesmithError(f"stop={value} has an empty string, which ends every answer before it begins")
    return tuple(listed)


def _typed(name: str, value: str) -> Any:
    """A value in the type of its field. Raises: TunesmithError."""
    wanted = typing.get_args(_TYPES[name]) or (_TYPES[name],)
    kind = next(item for item in (int, float, str) if item in wanted)
    try:
        return kind(value)
    except ValueError:
        word = "whole number" if kind is int else "number"
        raise TunesmithError(f"{name}={value} is no {word}") from None
