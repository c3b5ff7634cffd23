"""What can be entered in a conversation at the terminal beside questions: `/help` lists it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

from tunesmith.errors import TunesmithError, choices
from tunesmith.types import ModelHandle

from tunesmith_library_engine.rowfiles import append_row, read_row, read_tools, row_of
from tunesmith_library_engine.showing import Medium, check_medium
from tunesmith_library_engine.talk import Talk

HELP = {
    "system": ("[TEXT]", "give the model its instructions; without TEXT, take them away"),
    "clear": ("", "begin anew; the system message and the tools stay"),
    "retry": ("", "answer the last question again"),
    "undo": ("", "take back the last question and its answer"),
    "save": ("FILE", "append the conversation to FILE, as a row to train on"),
    "load": ("FILE [ROW]", "go on with a row of FILE, the last one where none is named"),
    "set": ("[NAME=VALUE …]", "choose how answers are drawn: temperature, top_p, max_new_tokens, stop …"),
    "tools": ("[FILE.json]", "let the model call these tools; `none` for no more"),
    "tool": ("RESULT", "what the called tool gives; at the prompt for a result, RESULT alone will do"),
    "image": ("PATH", "show an image with the next question"),
    "video": ("PATH", "show a video with the next question"),
    "audio": ("PATH", "play a sound with the next question"),
    "help": ("", "this list"),
    "exit": ("", "end, as Ctrl-D does; Ctrl-C stops an answer"),
}
_BEHIND = 'Text of several lines stands between """ and """, as does a question that begins with a slash.'


_JSON_BEGINS = re.compile(r"(?<!\S)[\w.]+=(?=[\[{])")


class Commands:
    """Obeys commands.

    Args:
        notice: tells the user something.
    """

    def __init__(self, talk: Talk, handle: ModelHandle, notice: Callable[[str], None]) -> None:
        self._talk, self._handle, self._notice = talk, handle, notice

    def obey(self, name: str, text: str) -> None:
        """Do what a command says; whether there is something to answer then, `talk.asked` tells.

        Raises: TunesmithError for an unknown command, and for one that cannot be obeyed.
        """
        if name not in HELP:
            raise TunesmithError(f"there is no command /{name}.\n{choices(name, HELP)}\n/help lists them. {_BEHIND}")
        if text and not HELP[name][0]:
            raise TunesmithError(f"/{name} takes nothing behind it, got {text!r}")
        if not text and HELP[name][0] and HELP[name][0][0] != "[":
            raise TunesmithError(f"/{name} {HELP[name][0]}: {HELP[name][0]} is missing")
        act: Callable[..., None] = getattr(self, f"_{name}")
        act(*([text] if HELP[name][0] else []))

    def _system(self, text: str) -> None:
        self._talk.be_told(text)
        self._notice("system message set" if text else "no system message")

    def _clear(self) -> None:
        self._talk.clear()

    def _retry(self) -> None:
        self._talk.again()

    def _undo(self) -> None:
        self._talk.undo()
        turns = sum(message["role"] == "user" for message in self._talk.messages)
        self._notice(f"taken back; {turns} {'question is' if turns == 1 else 'questions are'} left")

    def _save(self, text: str) -> None:
        answered, file = self._talk.answered, Path(text).expanduser()
        if not answered:
            raise TunesmithError("there is no answer yet, and so nothing to save")
        append_row(file, row_of(answered, self._talk.tools))
        left = len(self._talk.messages) - len(answered)
        without = f", without the last {left}, which {'has' if left == 1 else 'have'} no answer" if left else ""
        self._notice(f"saved: {file} ({len(answered)} messages{without})")

    def _load(self, text: str) -> None:
        name, _, last = text.rpartition(" ")
        numbered = bool(name) and last.isdigit() and not Path(text).expanduser().exists()
        file = Path(name.strip() if numbered else text).expanduser()
        self._talk.messages, self._talk.tools = read_row(file, int(last) if numbered else None)
        self._talk.media = []
        waits = "; /retry answers its last question" if self._talk.asked else ""
        self._notice(f"loaded: {file} ({len(self._talk.messages)} messages{waits})")

    def _set(self, text: str) -> None:
        try:
            words = shlex.split(_with_json_whole(text))
        except ValueError as error:
            raise TunesmithError(f"/set {text}: {error}") from error
        for word in words:
            name, equals, value = word.partition("=")
            if not equals:
                raise TunesmithError(f"/set {word}: a setting is written NAME=VALUE")
            self._talk.set(name, value)
        chosen = [f"{name}={value}" for name, value in self._talk.chosen.items()]
        self._notice(", ".join(chosen) + "; the others are the engine's" if chosen else "all settings are the engine's")

    def _tools(self, text: str) -> None:
        if text:
            self._talk.tools = None if text == "none" else read_tools(Path(text).expanduser())
        names = [tool["function"]["name"] for tool in self._talk.tools or ()]
        self._notice(f"tools: {', '.join(names) or 'none'}")

    def _tool(self, text: str) -> None:
        self._talk.give(text)

    def _image(self, text: str) -> None:
        self._show("image", text)

    def _video(self, text: str) -> None:
        self._show("video", text)

    def _audio(self, text: str) -> None:
        self._show("audio", text)

    def _show(self, kind: str, text: str) -> None:
        file = Path(text).expanduser()
        check_medium(self._handle.processor, Medium(kind, file))
        self._talk.media.append(Medium(kind, file.absolute()))
        self._notice(f"{file} goes with the next question")

    def _help(self) -> None:
        written = {f"/{name} {takes}".rstrip(): what for name, (takes, what) in HELP.items()}
        width = max(map(len, written))
        self._notice("\n".join([*(f"{command:<{width}}  {what}" for command, what in written.items()), _BEHIND]))


def _with_json_whole(text: str) -> str:
    """Settings as they were typed, with JSON's lists and mappings quoted, that they keep their own quotes."""
    made, at = "", 0
    for found in _JSON_BEGINS.finditer(text):
        if found.end() < at:
            continue
        try:
            _, end = json.JSONDecoder().raw_decode(text, found.end())
        except (ValueError, RecursionError):  # a text that begins so, such as [END]
            continue
        made, at = made + text[at : found.end()] + shlex.quote(text[found.end() : end]), end
    return made + text[at:]
