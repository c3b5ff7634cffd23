"""Numbers in English words, as `num2words` writes them: SmolVLM's processor says so how many frames a clip has."""

from __future__ import annotations

_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def in_words(number: int) -> str:
    """A whole number from 0 to 999,999: `one thousand, two hundred and thirty-four`."""
    thousands, rest = divmod(number, 1000)
    if not thousands:
        return _below_thousand(rest)
    said = f"{_below_thousand(thousands)} thousand"
    if not rest:
        return said
    return f"{said}{' and ' if rest < 100 else ', '}{_below_thousand(rest)}"


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    tens, ones = divmod(rest, 10)
    small = _SMALL[rest] if rest < len(_SMALL) else _TENS[tens] + (f"-{_SMALL[ones]}" if ones else "")
    if not hundreds:
        return small
    return f"{_SMALL[hundreds]} hundred" + (f" and {small}" if rest else "")
