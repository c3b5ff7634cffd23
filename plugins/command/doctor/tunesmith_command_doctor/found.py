"""What the parts of an examination give: facts by name, and what is wrong or worth knowing."""

from __future__ import annotations

from dataclasses import dataclass

Facts = dict[str, str]
"""What there is, by name."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or that one should know, and what to do about it."""

    about: str  # a library, a plugin, a setting
    message: str  # what is so, and what comes of it
    advice: str  # the next command, or what to change
    wrong: bool = True  # else it is only worth knowing
