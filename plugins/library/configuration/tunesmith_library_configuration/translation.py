"""Configurations of other programs: what becomes of their keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tunesmith_library_configuration.keys import Key, Origin


@dataclass(frozen=True)
class Note:
    """What became of a key of a foreign configuration, where its translation does not tell."""

    key: str | Key  # the foreign one, as it is written there
    # translated: otherwise than its value looks; dropped: it means nothing here; refused: it cannot be had, an error
    outcome: Literal["translated", "dropped", "refused"]
    reason: str  # one sentence
    advice: str = ""  # of one that is refused: what is possible instead


@dataclass(frozen=True)
class Translation:
    """A foreign configuration in our words."""

    config: Mapping[str, Any]  # as a file of ours holds it
    # by each of our keys (`adapter.rank`) the foreign one that it, and what is in it, came from, or the place in a file
    # that the configuration names; one that is missing is the program's own default, where ours is another
    sources: Mapping[str, str | Key | Origin] = field(default_factory=dict)
    command: str = "train"  # what it is a configuration of: train, chat, export, …
    notes: tuple[Note, ...] = ()
    # keys of ours that the program has, too: an override of one, as `stage=rm`, is in its words
    shared: frozenset[str] = frozenset()
