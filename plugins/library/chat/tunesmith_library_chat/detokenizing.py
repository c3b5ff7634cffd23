"""From tokens to text while they arrive: whole characters only, and nothing that may belong to a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_HALF = "\ufffd"  # what decoders write for bytes that are no whole character (yet)


class Detokenizer:
    """Decodes an answer piece by piece; joined, the pieces are what decoding it at once gives.

    A token may hold a part of a character, and a decoder may write a token otherwise at the start of a text. So only a
    window is decoded, from the former piece on, and it is shown when its last character is whole.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], before: Sequence[int] = ()) -> None:
        """
        Args:
            before: the tokens that the text goes on from, the last of them; half a character there is made whole.
        """
        self._decode = decode
        self._window: list[int] = list(before)
        self._shown = len(before)  # tokens at the start of the window that were shown already
        self._completes = True  # whether they may end in half a character that was not
        self.held = ""  # what has been taken and not been given, with half a character at its end

    def push(self, token: int) -> str:
        """Take one token; give the text that is certain now, often none."""
        self._window.append(token)
        text = self._rest()
        if not text or text.endswith(_HALF):
            self.held = text
            return ""
        self.held = ""
        self._window = self._window[self._shown :]
        self._shown = len(self._window)
        self._completes = False
        return text

    def finish(self) -> str:
        """The text that was held back, without half a character at its end."""
        text = self._rest().rstrip(_HALF)
        self._window, self._shown = [], 0
        return text

    def _rest(self) -> str:
        before = self._decode(self._window[: self._shown])
        return self._decode(self._window)[len(before.rstrip(_HALF) if self._completes else before) :]


class StopFinder:
    """Cuts an answer at the first stop string, and holds back text that may be the beginning of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.found: str | None = None  # the stop string, once it was found

    def push(self, text: str) -> tuple[str, bool]:
        """Take new text; give what may be shown, and whether a stop string was found."""
        self._held += text
        found = [(at, -len(stop), stop) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            at, _, self.found = min(found)
            return self._release(at), True
        beginnings = (stop[:length] for stop in self._stops for length in range(1, len(stop)))
        kept = max((len(part) for part in beginnings if self._held.endswith(part)), default=0)
        return self._release(len(self._held) - kept), False

    def finish(self) -> str:
        """The text that was held back: it is no stop string after all."""
        return self._release(len(self._held))

    def _release(self, length: int) -> str:
        shown, self._held = self._held[:length], self._held[length:]
        return shown
