"""Whether a model reads pictures or sound, by its config.json, and what keeps that part from being written. Nothing
heavy is imported.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.types import Problem

from tunesmith_library_gguf.converting import FETCH

if TYPE_CHECKING:
    from tunesmith.planning import Plan

WITHOUT = (
    "the base, of type {kind}, has no part that reads pictures or sound: its config.json has neither vision_config nor "
    "audio_config.\nexporter.gguf.mmproj=false writes the language model, which is all of it"
)
ADVICE = "exporter.gguf.mmproj=true with exporter.gguf.converter=FOLDER of llama.cpp writes it"
"""How the part of a model that reads pictures is written too."""


def has_tower(config: Mapping[str, Any]) -> bool:
    """Whether a model has a part that llama.cpp reads from a file of its own (mmproj)."""
    return bool(config.get("vision_config") or config.get("audio_config"))


def projector_problems(plan: Plan, key: str, converter: str | None, adapter: bool) -> list[Problem]:
    """What keeps a projector from being written.

    Args:
        key: of the exporter, as in `exporter.gguf`.
        adapter: whether an adapter alone is written.
    """
    place = f"{key}.mmproj"
    if adapter:
        message = f"{place} is a part of the whole model, and {key}.adapter=true writes the adapter alone."
        return [Problem(place, message, f"{key}.mmproj=false or {key}.adapter=false")]
    path = plan.get("model.path")
    file = Path(os.path.expanduser(path), "config.json") if isinstance(path, str) else None
    said = json.loads(file.read_text(encoding="utf-8")) if file is not None and file.is_file() else {}
    if said and not has_tower(said):
        message, _, advice = WITHOUT.format(kind=said.get("model_type")).partition("\n")
        return [Problem(place, message, advice)]
    if converter is None:
        message = f"{place} is written by llama.cpp's converter, and {key}.converter names none."
        return [Problem(place, message, FETCH.format(key=key))]
    return []
