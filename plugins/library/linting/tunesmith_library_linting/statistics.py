"""What a data set is made of: shapes, roles, turns, tools, media, labels, languages, lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tunesmith_library_formats import MEDIA

from .findings import Item
from .languages import Language
from .lengths import TooLong
from .texts import answers, asked, conversations, messages_of, threads

MESSAGES = (
    "answers a row: {counts}",
    "characters: {answers} answers, {questions} last questions",
    "rows: {counts}",
    "messages: {counts}",
)


class Statistics:
    """Counts of the rows of data sets.

    Args:
        lengths: measures the rows.
    """

    def __init__(self, lengths: TooLong) -> None:
        self._lengths, self._languages = lengths, Language()
        self._counts: dict[str, dict[str, Counter[str]]] = {}
        self._characters: dict[str, Counter[str]] = {}

    def look(self, items: Sequence[Item]) -> None:
        """See some records."""
        list(self._lengths.look(items))
        list(self._languages.look(items))
        for item in items:
            counts = self._counts.setdefault(item.data, {})
            for what, value in self._of_row(item):
                counts.setdefault(what, Counter())[value] += 1

    def _of_row(self, item: Item) -> list[tuple[str, str]]:
        row = item.content
        if row is None:
            return [("rows", "unreadable")]
        columns = ["text"] if "text" in row else list(conversations(row))
        found = [("rows", " + ".join([*columns, *(["label"] if "label" in row else [])]))]
        found += [("messages", message["role"]) for message in messages_of(row)]
        found += [("messages", "with thoughts") for message in messages_of(row) if message.get("reasoning")]
        found += [("calls", call["function"]["name"]) for m in messages_of(row) for call in m.get("tool_calls") or []]
        found += [(kind, "all") for kind in MEDIA for _ in row.get(kind) or []]
        turns = max((sum(m["role"] == "assistant" for m in thread) for thread in threads(row).values()), default=0)
        found += [("answers a row", str(turns))] if columns != ["text"] else []
        found += [("labels", "desirable" if row["label"] else "undesirable")] if "label" in row else []
        sums = self._characters.setdefault(item.data, Counter())
        sums["answers"] += sum(map(len, answers(row)))
        sums["last questions"] += len(asked(row))
        return found

    def to_json(self) -> dict[str, Any]:
        """By data set: counts by what is counted, and the lengths."""
        return {
            data: {
                **{what: dict(counter.most_common()) for what, counter in counts.items()},
                "languages": dict(self._languages.languages(data).most_common()),
                "characters": dict(self._characters.get(data, Counter())),
                "lengths": self._lengths.lengths(data).to_json(),
            }
            for data, counts in self._counts.items()
        }
