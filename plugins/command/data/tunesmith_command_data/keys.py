"""Keys of a terminal, one by one, without Enter; those that are typed while something else is done are not lost."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import click

_ARROWS = {"\x1b[A": "k", "\x1b[D": "k", "\x1b[B": "j", "\x1b[C": "j"}


class Keys(AbstractContextManager["Keys"]):
    """Reads keys while it is entered."""

    def __init__(self) -> None:
        self._typed = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def __enter__(self) -> Keys:
        self._former = _at_once()
        return self

    def __exit__(self, *failed: object) -> None:
        _restore(self._former)

    @contextmanager
    def away(self) -> Iterator[None]:
        """While entered, the terminal is as it was: for an editor, or for a line that is typed."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()

    def read(self) -> str:
        """The next key; an arrow is j or k, and so is Enter. Raises: EOFError where there are no more."""
        while not self._typed:
            self._typed = self._more()
        if self._typed.startswith("\x1b"):
            key, self._typed = self._typed[:3], self._typed[3:]
            return _ARROWS.get(key, "escape")
        key, self._typed = self._typed[0], self._typed[1:]
        if key in "\x03\x04":
            raise EOFError
        return "j" if key in "\r\n" else key

    def _more(self) -> str:
        if sys.platform == "win32":
            return click.getchar()
        found = os.read(sys.stdin.fileno(), 1024)
        if not found:
            raise EOFError
        return self._decoder.decode(found)


def _at_once() -> list[object] | None:
    """Have the terminal give keys at once, and not show them. Returns: how it was."""
    if sys.platform == "win32":
        return None
    import termios
    import tty

    former = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin, termios.TCSADRAIN)
    return former


def _restore(former: list[object] | None) -> None:
    if sys.platform != "win32" and former is not None:
        import termios

        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, former)  # type: ignore[arg-type]
