"""Secrets and personal data in texts, told by their shape and, where they have one, their checksum."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from .findings import Finding, Item, RowCheck, Severity
from .texts import everything


def _any(_: str) -> bool:
    return True


@dataclass(frozen=True)
class Pattern:
    """A shape that texts are searched for."""

    what: str
    expression: re.Pattern[str]
    holds: Callable[[str], bool] = _any  # whether what has the shape is meant; its checksum
    sure: bool = True  # whether nothing else has this shape

    def found(self, text: str) -> Iterator[tuple[int, int]]:
        """Where it stands; the group `it`, where the expression has one."""
        group = "it" if "it" in self.expression.groupindex else 0
        for match in self.expression.finditer(text):
            if self.holds(match[group]):
                yield match.span(group)


_ISSUERS = re.compile(
    r"4\d{15}(\d{3})?|(5[1-5]|2[2-7])\d{14}|3[47]\d{13}|(6011|65\d\d|64[4-9]\d|35\d\d)\d{12}|3[068]\d{12}"
)


def card(number: str) -> bool:
    """Whether digits are a card's number: an issuer's beginning and length, and the checksum (ISO/IEC 7812-1)."""
    digits = [int(digit) for digit in number if digit.isdigit()]
    if not _ISSUERS.fullmatch("".join(map(str, digits))) or len(set(digits)) < 3:
        return False
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def iban(text: str) -> bool:
    """Whether a bank account's number has its checksum (ISO 13616)."""
    plain = re.sub(r"\s", "", text)
    moved = plain[4:] + plain[:4]
    return 15 <= len(plain) <= 34 and int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1


def _random(text: str) -> bool:
    """Whether a word is as mixed as a key, not `your_password_here` or `xxxxxxxx`."""
    shares = [count / len(text) for count in Counter(text).values()]
    entropy = -sum(share * math.log2(share) for share in shares)
    return entropy > 3 and any(map(str.isdigit, text)) and any(map(str.isalpha, text)) and not _EXAMPLE.search(text)


def _no_example(text: str) -> bool:
    return not _EXAMPLE.search(text)


def _reachable(address: str) -> bool:
    """Whether an e-mail address is one of somebody, not of an example."""
    name, _, domain = address.lower().partition("@")
    made_up = re.search(r"(^|\.)(example|test|domain|email|company|yourdomain|mail|abc|xyz|website)\.", f"{domain}.")
    return not made_up and name not in ("user", "username", "name", "email", "your", "git")


_EXAMPLE = re.compile(r"example|sample|dummy|your[-_]|placeholder|changeme|xxxx|\*\*\*|1234567890|<|\$\{|\{\{", re.I)
_KEY = r"(?<![A-Za-z0-9_-])"
_END = r"(?![A-Za-z0-9_-])"

SECRETS = (
    Pattern("a private key", re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----(?:\\n|\s)*[A-Za-z0-9+/=]{16}")),
    Pattern("an AWS key", re.compile(rf"{_KEY}(?:AKIA|ASIA)[0-9A-Z]{{16}}{_END}"), _no_example),
    Pattern(
        "a GitHub token", re.compile(rf"{_KEY}(?:gh[pousr]_[A-Za-z0-9]{{36,}}|github_pat_\w{{50,}}){_END}"), _random
    ),
    Pattern("a GitLab token", re.compile(rf"{_KEY}glpat-[\w-]{{20,}}"), _random),
    Pattern("a Hugging Face token", re.compile(rf"{_KEY}hf_[A-Za-z0-9]{{30,}}{_END}"), _no_example),
    Pattern("an API key", re.compile(rf"{_KEY}sk-(?:[a-z]+-)*[A-Za-z0-9_-]{{20,}}"), _random),
    Pattern("a Stripe key", re.compile(rf"{_KEY}[sr]k_live_[A-Za-z0-9]{{16,}}"), _random),
    Pattern("a Google key", re.compile(rf"{_KEY}AIza[\w-]{{35}}{_END}"), _no_example),
    Pattern("a Slack token", re.compile(rf"{_KEY}xox[abprs]-[A-Za-z0-9-]{{10,}}"), _no_example),
    Pattern("a JSON web token", re.compile(rf"{_KEY}eyJ[\w-]{{10,}}\.eyJ[\w-]{{10,}}\.[\w-]{{10,}}"), _no_example),
    Pattern(
        "a password in an address", re.compile(r"[a-z][a-z0-9+.-]*://[^\s/:@]+:(?P<it>[^\s/@]{6,})@[\w.-]+"), _random
    ),
    Pattern(
        "a password or key",
        re.compile(
            r"(?i)\b(?:password|passwd|secret|api[_-]?key|access[_-]?token|auth[_-]?token)\b[\"']?\s*[:=]\s*[\"']?"
            r"(?P<it>[A-Za-z0-9+/_.!@#%^&*=-]{12,})"
        ),
        _random,
        sure=False,
    ),
)
PERSONAL = (
    Pattern("an e-mail address", re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}"), _reachable),
    Pattern("a card's number", re.compile(r"(?<![\d.,-])\d(?:[ -]?\d){12,18}(?![\d.,]*\d)"), card),
    Pattern("an account's number", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), iban),
    Pattern(
        "a social security number",
        re.compile(r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])"),
        lambda text: text not in ("123-45-6789", "078-05-1120"),
    ),
    Pattern(
        "a phone number",
        re.compile(
            r"(?<![\w.+/-])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d(?:[ .-]?\d){6,11}"
            r"|\(\d{3}\) ?\d{3}[-.]\d{4}|\d{3}-\d{3}-\d{4})(?![\w-]|[.,]\d)"
        ),
        lambda text: "555" not in text and not re.search(r"123.?456|(\d)\1{5}", text),
    ),
)


class _Search(RowCheck):
    """Looks through all texts of a record as it stands in the file."""

    patterns: ClassVar[Sequence[Pattern]]

    def look(self, items: Sequence[Item]) -> Iterator[Finding]:
        for item in items:
            found = Counter(what for text in everything(item.record) for what, _, _ in spans(text, self.patterns))
            for pattern in self.patterns:
                count = found[pattern.what]
                times = f" ({count} times)" if count > 1 else ""
                if count:
                    yield self.finding(item, self.severity_of(pattern), f"there is {pattern.what}{times}")

    def severity_of(self, pattern: Pattern) -> Severity:
        """How bad it is that a pattern was found."""
        return "warning"


class Secrets(_Search):
    """Keys, tokens and passwords."""

    name: ClassVar[str] = "secret"
    says: ClassVar[str] = "a text holds a key, a token or a password"
    mends: ClassVar[str] = "masks it"
    patterns = SECRETS

    def severity_of(self, pattern: Pattern) -> Severity:
        return "error" if pattern.sure else "warning"


class Personal(_Search):
    """Addresses and numbers of persons."""

    name: ClassVar[str] = "personal"
    says: ClassVar[str] = "a text holds an address or a number of a person"
    mends: ClassVar[str] = "masks it"
    patterns = PERSONAL


def spans(text: str, patterns: Sequence[Pattern]) -> Iterator[tuple[str, int, int]]:
    """What is found in a text and where; of what overlaps, the pattern that stands first."""
    taken: list[tuple[int, int]] = []
    for pattern in patterns:
        for start, end in pattern.found(text):
            if all(end <= other or start >= until for other, until in taken):
                taken.append((start, end))
                yield pattern.what, start, end


def masked(value: Any, patterns: Sequence[Pattern]) -> Any:
    """A record with what the patterns find taken out of its texts: `[an e-mail address]`."""
    if isinstance(value, str):
        for name, start, end in sorted(spans(value, patterns), key=lambda span: -span[1]):
            value = f"{value[:start]}[{name.split(' ', 1)[1]}]{value[end:]}"
        return value
    if isinstance(value, Mapping):
        return {name: masked(item, patterns) for name, item in value.items()}
    return [masked(item, patterns) for item in value] if isinstance(value, list | tuple) else value
