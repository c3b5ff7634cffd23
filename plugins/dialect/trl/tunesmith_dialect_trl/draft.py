"""A translation while it is made, of the configuration of one of TRL's trainers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith_library_configuration import drafting


class Draft(drafting.Draft):
    """Our configuration, filled key by key."""

    def __init__(self, trainer: str, written: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        super().__init__(written, defaults)
        self.trainer = trainer
