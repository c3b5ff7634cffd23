"""Answers in another language than those of most rows, told by script and by the commonest words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import ClassVar

from .findings import Finding, Item
from .texts import answers

_SCRIPTS = {
    "ja": re.compile("[぀-ヿ]"),
    "zh": re.compile("[㐀-䶿一-鿿]"),
    "ko": re.compile("[가-힣ᄀ-ᇿ]"),
    "Cyrillic": re.compile("[Ѐ-ӿ]"),
    "Arabic": re.compile("[؀-ۿ]"),
    "Hebrew": re.compile("[֐-׿]"),
    "hi": re.compile("[ऀ-ॿ]"),
    "bn": re.compile("[ঀ-৿]"),
    "ta": re.compile("[஀-௿]"),
    "th": re.compile("[฀-๿]"),
    "el": re.compile("[Ͱ-Ͽ]"),
    "Latin": re.compile("[A-Za-zÀ-ɏ]"),
}
_COMMON = {
    "en": "the of and to in is that it for was with as be this are you have not on or by from your can",
    "de": "der die das und ist nicht ein eine zu mit den von sich auf für auch dem es sie wird sind oder kann",
    "fr": "le la les des et est une dans que pour qui pas sur avec vous plus du sont au ce cette être",
    "es": "el los las y es una en que para por con del se su más como está son pero sus puede este",
    "pt": "o os as e é uma em que para não com do da dos das se mais como são por seu você pode",
    "it": "il gli e è una che per non con del della dei sono si più come le nel questo anche essere",
    "nl": "de het een en van is dat niet te op voor met zijn aan er ook worden naar kan deze bij",
    "pl": "i w nie na się z jest to że do jak od są dla przez oraz być może tym",
    "tr": "bir ve bu için ile de da olarak daha gibi en çok olan ne veya kadar",
    "vi": "và của là một có trong không được cho các với những này khi để",
    "id": "yang dan di untuk dengan ini dari pada adalah tidak dalam akan atau juga dapat",
}
_WORDS = {language: frozenset(words.split()) for language, words in _COMMON.items()}
_CODE = re.compile(r"```.*?(```|$)|`[^`]*`|https?://\S+", re.DOTALL)
_LETTERS = 20  # fewer tell nothing
_SEEN = 4000  # characters of a text that are looked at
_MOST = 0.8  # share of the rows that makes a language that of the set
_ROWS = 10  # rows whose language is known, without which nothing is said of the others


class Language:
    """Rows whose answers are not in the language of the set; a set of several languages has none."""

    name: ClassVar[str] = "language"
    says: ClassVar[str] = f"the answer is in another language than over {_MOST:.0%} of the set"
    mends: ClassVar[str] = ""

    def __init__(self) -> None:
        self._known: dict[str, Counter[str]] = {}
        self._rows: dict[str, dict[str, list[tuple[int, str, str]]]] = {}

    def look(self, items: Sequence[Item]) -> Iterator[Finding]:
        for item in items:
            language = language_of("\n".join(answers(item.content or {})))
            if language:
                self._known.setdefault(item.data, Counter())[language] += 1
                rows = self._rows.setdefault(item.data, {}).setdefault(language, [])
                rows.append((item.row, item.place, str(item.file or "")))
        return iter(())

    def finish(self) -> Iterator[Finding]:
        for data, counts in self._known.items():
            (most, number), total = counts.most_common(1)[0], sum(counts.values())
            if total < _ROWS or number < _MOST * total:
                continue
            for language, rows in self._rows[data].items():
                for row, place, file in rows if language != most else ():
                    message = f"the answer is {language}, {number / total:.0%} of the set are {most}"
                    yield Finding(self.name, "warning", message, data, row, place, file)

    def languages(self, data: str) -> Counter[str]:
        """How many rows of a set are in each language, as far as that is known."""
        return self._known.get(data, Counter())


def language_of(text: str) -> str | None:
    """A language's code, or a script's name where several languages share it; None where the text does not tell."""
    seen = _CODE.sub(" ", text[:_SEEN])
    letters = {script: len(pattern.findall(seen)) for script, pattern in _SCRIPTS.items()}
    weight = dict(letters)
    for script in ("zh", "ja", "ko"):  # one character says as much as a few letters
        weight[script] *= 3
    total = sum(weight.values())
    script = max(weight, key=lambda name: weight[name])
    if total < _LETTERS or weight[script] < 0.6 * total:
        kana = letters["ja"] and weight["ja"] + weight["zh"] >= 0.6 * total >= _LETTERS * 0.6
        return "ja" if kana else None
    if script == "zh" and letters["ja"] > 0.1 * letters["zh"]:
        return "ja"  # which writes with both
    return _latin(seen) if script == "Latin" else script


def _latin(text: str) -> str | None:
    """The language of a text in Latin letters by its commonest words; None where none or two are likely."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    hits = Counter({language: sum(word in common for word in words) for language, common in _WORDS.items()})
    (best, most), (_, second) = hits.most_common(2)
    return best if most >= 3 and most >= 0.08 * len(words) and most >= 1.5 * second else None
