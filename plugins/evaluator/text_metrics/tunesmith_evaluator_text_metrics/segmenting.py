"""Texts cut into tokens. What suits a text is seen by its letters: some writings have no spaces between words."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Literal

from tunesmith.messages import announce

Segmentation = Literal["words", "jieba", "characters"]

_HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_KANA = r"\u3040-\u30ff"
_WITHOUT_SPACES = rf"{_KANA}\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # kana, Thai, Lao, Burmese, Khmer
_LETTER = re.compile(r"[^\W\d_]")
_ENOUGH = 0.2  # share of the letters; one Chinese character says what takes five of ours
_WORD = re.compile(r"[^\W_]+")
_CHARACTER = re.compile(rf"[{_HAN}{_WITHOUT_SPACES}]|[^\W_{_HAN}{_WITHOUT_SPACES}]+")


def segmentation_of(texts: Sequence[str]) -> Segmentation:
    """What suits texts, by the share of letters that are of writings without spaces."""
    whole = "".join(texts)
    letters = len(_LETTER.findall(whole)) or 1
    if len(re.findall(f"[{_WITHOUT_SPACES}]", whole)) / letters > _ENOUGH:
        return "characters"
    return "jieba" if len(re.findall(f"[{_HAN}]", whole)) / letters > _ENOUGH else "words"


def told(name: str, asked: str, texts: Sequence[str]) -> Segmentation:
    """The segmentation that was asked for, or the one that suits a data set, which is said."""
    if asked != "auto":
        return asked  # type: ignore[return-value]
    found = segmentation_of(texts)
    announce(f"data set {name}", f"segmentation {found}", "by its expected answers")
    return found


def tokens(text: str, segmentation: Segmentation) -> list[str]:
    """The words of a text in small letters, without punctuation; for ASCII those of rouge-score."""
    if segmentation == "jieba":
        return [word for word in cut(text.lower()) if _WORD.search(word)]
    return (_WORD if segmentation == "words" else _CHARACTER).findall(text.lower())


def cut(text: str) -> list[str]:
    """All that jieba cuts a text into, spaces and punctuation included."""
    import jieba

    jieba.setLogLevel(logging.WARNING)  # it tells how long its dictionary took
    words: list[str] = jieba.lcut(text)
    return words
