"""Rows that are there twice, nearly twice, or in a set that the model is measured on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .findings import Finding, Item, Severity
from .similarity import Held, MinHash, best, digest_of, pairs
from .texts import asked, everything, text_of, threads, whole

_NEARLY = 0.85  # Jaccard similarity
_RUN = 5  # words; of a text in which one word of forty was changed, 86 % of the runs are left
_FEWEST = 6, 8  # words of a held out row or question, and of a benchmark's text, below which texts are alike by chance
_SHARE = 0.7  # of the runs of what is measured


class Duplicates:
    """Rows that say the same as an earlier one, case and white space aside."""

    name: ClassVar[str] = "duplicate"
    says: ClassVar[str] = "the row says the same as an earlier one"
    mends: ClassVar[str] = "leaves it out"

    def __init__(self, held_out: Collection[str] = ()) -> None:
        self._held_out = held_out
        self._seen: dict[tuple[str, bytes], str] = {}

    def look(self, items: Sequence[Item]) -> Iterator[Finding]:
        for item in items:
            if item.content is not None and whole(item.content).strip():
                scope = _scope(item, self._held_out)
                first = self._seen.setdefault((scope, digest_of(_key(item))), item.name)
                if first != item.name:
                    yield _finding(self.name, "warning", f"the same as {first}", item)

    def finish(self) -> Iterator[Finding]:
        return iter(())


class NearDuplicates:
    """Rows that say nearly the same as an earlier one, by MinHash over runs of three words."""

    name: ClassVar[str] = "near_duplicate"
    says: ClassVar[str] = f"the row has at least {_NEARLY:.0%} of its runs of 3 words in common with an earlier one"
    mends: ClassVar[str] = "leaves it out"

    def __init__(self, held_out: Collection[str] = ()) -> None:
        self._held_out, self._hash = held_out, MinHash()
        self._seen: set[tuple[str, bytes]] = set()
        self._signatures: dict[str, list[NDArray[np.uint32]]] = {}
        self._about: dict[str, list[tuple[str, int, str, str]]] = {}

    def look(self, items: Sequence[Item]) -> Iterator[Finding]:
        for item in items:
            if item.content is None:
                continue
            scope = _scope(item, self._held_out)
            key = scope, digest_of(_key(item))
            if key in self._seen:  # an exact one is told as such
                continue
            self._seen.add(key)
            signature = self._hash.signature(whole(item.content))
            if signature is not None:
                self._signatures.setdefault(scope, []).append(signature)
                self._about.setdefault(scope, []).append((item.data, item.row, item.place, str(item.file or "")))
        return iter(())

    def finish(self) -> Iterator[Finding]:
        for scope, signatures in self._signatures.items():
            about = self._about[scope]
            for index, (other, similarity) in sorted(pairs(np.stack(signatures), _NEARLY).items()):
                data, row, place, file = about[index]
                message = f"nearly the same as row {about[other][1]} of {about[other][0]} ({similarity:.0%})"
                yield Finding(self.name, "warning", message, data, row, place, file)


class Leaks:
    """Rows that hold what the model is measured on.

    Args:
        held_out: the names of the sets that are evaluated on; their rows are looked for in all others.
    """

    name: ClassVar[str] = "leak"
    says: ClassVar[str] = "the row holds one of an evaluation set or benchmark"
    mends: ClassVar[str] = "leaves it out"

    def __init__(self, held_out: Collection[str] = ()) -> None:
        self.held_out = frozenset(held_out)
        self._wholes, self._questions, self._benchmark = (Held(_RUN, fewest) for fewest in (_FEWEST[0], *_FEWEST))
        self._names: list[str] = []
        self._questioned: list[str] = []
        self._benchmarked: list[str] = []
        self._exact: dict[bytes, str] = {}

    def measured_on(self, items: Sequence[Item]) -> None:
        """Look for these rows from now on, by the whole and by the question."""
        for item in items:
            if item.content is None:
                continue
            self._exact.setdefault(digest_of(whole(item.content)), item.name)
            if self._wholes.add(whole(item.content)) is not None:
                self._names.append(item.name)
            if self._questions.add(asked(item.content)) is not None:
                self._questioned.append(item.name)

    def benchmark(self, items: Sequence[Item]) -> None:
        """Look for each text of a benchmark's records from now on, whatever columns it has."""
        for item in items:
            for text in everything(item.record):
                if self._benchmark.add(text) is not None:
                    self._benchmarked.append(item.name)

    def look(self, items: Sequence[Item]) -> Iterator[Finding]:
        for item in items:
            if item.content is None or item.data in self.held_out:
                continue
            text = whole(item.content)
            same = self._exact.get(digest_of(text))
            if same:
                yield _finding(self.name, "error", f"it is {same}, which is measured on", item)
                continue
            yield from self._held_in(text, item)

    def _held_in(self, text: str, item: Item) -> Iterator[Finding]:
        looked_for: list[tuple[Held, list[str], str, Severity, float]] = [
            (self._wholes, self._names, "", "error", _SHARE),
            (self._benchmark, self._benchmarked, "a text of ", "error", _SHARE),
            (self._questions, self._questioned, "the question of ", "warning", 1.0),  # many are alike but for a name
        ]
        for held, names, what, severity, share_needed in looked_for:
            found = best(held.within(text))
            if found and found[1] >= share_needed:
                share = "" if found[1] == 1 else f"{found[1]:.0%} of "
                message = f"it holds {share}{what}{names[found[0]]}, which is measured on"
                yield _finding(self.name, severity, message, item)
                return

    def finish(self) -> Iterator[Finding]:
        return iter(())


def _scope(item: Item, held_out: Collection[str]) -> str:
    """Among which rows copies are looked for: a row that is held out and trained on is a leak, and told as such."""
    return item.data if item.data in held_out else ""


def _key(item: Item) -> str:
    """All that two rows must have in common to be one: who says what, media and what is in them, label."""
    assert item.content is not None
    row = item.content
    said = [message for thread in threads(row).values() for message in thread]
    parts = [f"{m['role']}\0{' '.join(text_of(m).split())}\0{m.get('tool_calls')}" for m in said]
    media = [str(row.get(name)) for name in ("images", "videos", "audios", "objects", "label", "tools") if name in row]
    return "\1".join([*parts, str(row.get("text", "")), *media])


def _finding(check: str, severity: Severity, message: str, item: Item) -> Finding:
    return Finding(check, severity, message, item.data, item.row, item.place, str(item.file or ""))
