"""Labels, and which of them a text is or names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence


class Labels:
    """The labels of a task; case, spaces and punctuation around them do not count."""

    def __init__(self, names: Sequence[str], *, exact: bool = False, extract: str | None = None) -> None:
        self.names = list(names)
        self._exact, self._extract = exact, extract
        self._known = {normal(name): name for name in names}
        longest_first = sorted(self._known, key=len, reverse=True)
        self._named = re.compile("|".join(map(_bordered, longest_first)) or "(?!)")

    def known(self, text: str) -> str | None:
        """The label that a whole text is."""
        return self._known.get(normal(text))

    def read(self, text: str) -> str | None:
        """The label of a text; None where it is none, names none, or several."""
        said = normal(extracted(text, self._extract))
        if said in self._known or self._exact:
            return self._known.get(said)
        found = set(self._named.findall(said))  # "very good" is found before "good" within it
        return self._known[found.pop()] if len(found) == 1 else None


def extracted(text: str, pattern: str | None) -> str:
    """The first group of a pattern's last match, or the whole match; without a match nothing."""
    if pattern is None:
        return text
    matches = list(re.finditer(pattern, text, re.DOTALL))
    if not matches:
        return ""
    return matches[-1][1 if matches[-1].re.groups else 0] or ""


def normal(text: str) -> str:
    """A text as labels are compared."""
    text = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    start, end = 0, len(text)
    while start < end and _is_beside(text[start]):
        start += 1
    while end > start and _is_beside(text[end - 1]):
        end -= 1
    return text[start:end]


def _is_beside(letter: str) -> bool:
    return letter.isspace() or unicodedata.category(letter)[0] == "P" or letter in "*`~"


def _bordered(label: str) -> str:
    """A pattern of a whole word; writings without spaces, whose letters have no case, need no border."""
    before, after = ("" if unicodedata.category(edge) == "Lo" else r"\w" for edge in (label[0], label[-1]))
    start, end = f"(?<!{before})" if before else "", f"(?!{after})" if after else ""
    return f"{start}{re.escape(label)}{end}"
