"""Texts compared letter by letter."""

from __future__ import annotations

import unicodedata

from rapidfuzz.distance import Levenshtein


def normal(text: str, ignore_case: bool, ignore_punctuation: bool) -> str:
    """A text as it is compared: one form of each letter, single spaces, none around it."""
    text = unicodedata.normalize("NFKC", text)
    if ignore_case:
        text = text.casefold()
    if ignore_punctuation:
        text = "".join(letter for letter in text if not unicodedata.category(letter).startswith("P"))
    return " ".join(text.split())


def edit_distance(one: str, other: str) -> float:
    """Letters inserted, deleted or replaced to come from one text to the other (Levenshtein 1966), as a share of the
    longer one's; 0 for two empty texts."""
    return Levenshtein.normalized_distance(one, other)
