"""A conversation at the terminal, or through a pipe: `tunesmith chat`."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from tunesmith.errors import TunesmithError
from tunesmith.messages import logger
from tunesmith.types import Message, Piece

from tunesmith_library_engine.chatting import Chat
from tunesmith_library_engine.commands import HELP, Commands
from tunesmith_library_engine.showing import Medium, check_medium, with_bytes, with_media
from tunesmith_library_engine.talk import Talk
from tunesmith_library_engine.terminal import Entered, Terminal, coloured

_AFTER_ERROR = (
    "the conversation is kept: /undo takes back its last question, /clear begins anew, /save FILE keeps it, "
    "/retry asks again"
)


def converse(chat: Chat, *, system: str | None, history: Path | None, verbose: bool, bare_words: bool) -> None:
    """Converse with whoever is at the terminal or behind the pipe; see `Conversing`."""
    with Terminal(list(HELP), history) as terminal:
        Conversing(chat, terminal, system=system, bare_words=bare_words, verbose=verbose).run()


def ask_all(
    chat: Chat, questions: Sequence[str], *, system: str | None, media: Sequence[Medium], verbose: bool
) -> None:
    """Ask each question by itself, all at the same time, and write the answers.

    Args:
        media: files that each of the questions is about.

    Raises: TunesmithError for a file that the model cannot be shown, before it is loaded.
    """
    for medium in media:
        check_medium(chat.handle.processor, medium)
    start: list[Message] = [{"role": "system", "content": system}] if system else []
    told = [with_bytes({"role": "user", "content": with_media(question, media)}) for question in questions]
    chat.load()
    answers, speed = [""] * len(questions), Speed()
    for piece in chat.answer([[*start, message] for message in told]):
        answers[piece.index] += piece.text
        speed.count(piece)
    for question, answer in zip(questions, answers, strict=True):
        click.echo(f"{click.style('>', bold=True) if coloured(sys.stdout) else '>'} {question}\n{answer}\n")
    if verbose:
        click.echo(str(speed), err=True)


class Speed:
    """How many tokens an answer had, and how fast they came."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first: float | None = None
        self.tokens = 0

    def count(self, piece: Piece) -> None:
        """Take note of what has come."""
        if self._first is None:
            self._first = time.monotonic()
        self.tokens += piece.num_tokens

    def __str__(self) -> str:
        seconds = time.monotonic() - self._began
        first = "" if self._first is None else f", the first after {self._first - self._began:.2f} s"
        if not self.tokens:  # nobody tells them
            return f"{seconds:.2f} s{first}"
        return f"{self.tokens} tokens in {seconds:.2f} s, {self.tokens / max(seconds, 1e-9):.1f} tokens/s{first}"


class Shown:
    """Writes an answer while it comes, and remembers it."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self.text, self.thought, self.reason = "", "", ""
        self._calls: dict[int, dict[str, Any]] = {}

    def take(self, piece: Piece) -> None:
        """Write what is new: thoughts faint, or between marks where there are no colours."""
        if piece.thought:
            if not self.thought and not self._terminal.coloured:
                self._terminal.say("[thinking]\n")
            self._terminal.faint(piece.thought)
            self.thought += piece.thought
        if piece.text:
            if self.thought and not self.text:
                self._terminal.say("\n\n" if self._terminal.coloured else "\n[answer]\n")
            self._terminal.say(piece.text)
            self.text += piece.text
        for call in piece.calls:
            made = self._calls.setdefault(call.index, {"name": "", "arguments": "", "id": ""})
            made["name"] += call.name
            made["arguments"] += call.arguments
            made["id"] = made["id"] or call.id
        self.reason = piece.finish_reason or self.reason

    def end(self) -> None:
        """Write the calls, which are whole now."""
        if self.text or (self.thought and not self._calls) or not self._calls:
            self._terminal.say("\n")
        elif self.thought:
            self._terminal.say("\n\n")
        for call in self._calls.values():
            self._terminal.say(f"→ {call['name']}({call['arguments']})\n")

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The calls as a message has them."""
        made = []
        for call in self._calls.values():
            function = {"name": call["name"], "arguments": _mapping(call["arguments"])}
            made.append({"type": "function", **({"id": call["id"]} if call["id"] else {}), "function": function})
        return made


class Conversing:
    """Answers what is entered until the input ends.

    At a terminal an error is told, and the conversation goes on; from a pipe it ends the program.

    Args:
        bare_words: `clear` and `exit` mean what they mean behind a slash.
        verbose: tell tokens and their speed after each answer.
    """

    def __init__(
        self, chat: Chat, terminal: Terminal, *, system: str | None = None, bare_words: bool, verbose: bool
    ) -> None:
        self.talk = Talk()
        self.talk.be_told(system or "")
        self._chat, self._terminal, self._verbose = chat, terminal, verbose
        self._bare_words = ("clear", "exit") if bare_words else ()
        self._commands = Commands(self.talk, chat.handle, terminal.notice)

    def run(self) -> None:
        """Converse. Raises: from a pipe, what goes wrong; otherwise only what ends the program."""
        while True:
            try:
                entered = self._terminal.read(self._prompt())
                if entered is None or not self._heed(entered):
                    return
            except KeyboardInterrupt as stop:
                if not self._is_ours(stop):
                    raise
                self._terminal.notice("\nCtrl-D or /exit ends")
            except TunesmithError as error:
                if not self._terminal.interactive:
                    raise
                self._terminal.complain(str(error))

    def _prompt(self) -> str:
        waiting = self.talk.waiting
        return f"result of {waiting[0]['function']['name']}> " if waiting else "> "

    def _heed(self, entered: Entered) -> bool:
        """Do what was entered; whether to go on."""
        name, text = entered.command, entered.text
        if not name and text in self._bare_words:
            name, text = text, ""
        if name and not self._terminal.interactive and (name not in HELP or (text and not HELP[name][0])):
            name, text = "", entered.line  # a pipe has questions, and nobody who could mend a command
        if name == "exit" and not text:
            return False
        if name:
            self._commands.obey(name, text)
            if name not in ("retry", "tool"):
                return True
        elif not text:
            return True
        elif self.talk.waiting:
            self.talk.give(text)
        else:
            self.talk.ask(text)
        if self.talk.asked:
            self._answer()
        return True

    def _answer(self) -> None:
        """Answer the last question; what goes wrong leaves the conversation as it is."""
        try:
            self._answer_once()
        except KeyboardInterrupt as stop:
            if not self._is_ours(stop):
                raise
            self._terminal.notice("\nstopped before it began; /retry asks again")
        except Exception as error:
            if not self._terminal.interactive:
                raise
            logger.log(logging.DEBUG, "while answering", exc_info=True)
            told = str(error) if isinstance(error, TunesmithError) else f"{type(error).__name__}: {error}"
            self._terminal.complain(f"{told}\n{_AFTER_ERROR}")

    def _answer_once(self) -> None:
        talk, conversation = self.talk, self.talk.conversation
        self._chat.load()  # which is not the answer's time
        speed = Speed()
        request = self._chat.request(conversation, talk.sampling, stop=talk.stop)
        answer = self._chat.engine.submit(request)
        shown, stopped = Shown(self._terminal), False
        whole = not (self._terminal.interactive or talk.tools)  # what reads a pipe gets every mark that was written
        pieces = self._chat.read(answer, None if whole else conversation, stop=talk.stop)
        try:
            for piece in pieces:
                speed.count(piece)
                shown.take(piece)
        except KeyboardInterrupt as stop:
            if not self._is_ours(stop):
                raise
            stopped = True
            answer.cancel()
        finally:
            pieces.close()
        shown.end()
        if shown.text or shown.calls or not stopped:
            talk.answer(shown.text, shown.thought, shown.calls)
        self._tell(shown, stopped)
        if self._verbose:
            prompt = f"prompt: {len(request.prompt)} tokens; " if request.prompt else ""  # else nobody tells
            self._terminal.notice(f"{prompt}answer: {speed}")

    def _tell(self, shown: Shown, stopped: bool) -> None:
        """Say why an answer is not whole."""
        if stopped:
            kept = "what was said is kept" if shown.text or shown.calls else "nothing was said"
            self._terminal.notice(f"stopped; {kept}. /retry asks again")
        elif shown.reason == "length" and self._terminal.interactive:
            self._terminal.notice(
                "cut off at its limit of tokens; /set max_new_tokens=N allows more, up to the context"
            )

    def _is_ours(self, stop: KeyboardInterrupt) -> bool:
        """Whether the user at the terminal pressed Ctrl-C, and nobody asked the program to end."""
        return self._terminal.interactive and type(stop) is KeyboardInterrupt


def _mapping(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments
