"""What a plugin has to know again when a run goes on: a few numbers, which every checkpoint keeps.

They are attached to the model that is trained, for that is what a stage and the loop around it both have.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tunesmith.messages import logger
from tunesmith_library_configuration import manifests
from tunesmith_library_configuration.records import MARKER

_KEY = "remembered"
_ATTRIBUTE = "_tunesmith_remembered"


class _Memory(NamedTuple):
    keep: Callable[[], Any]
    restore: Callable[[Any], None]


def remember(model: Any, name: str, keep: Callable[[], Any], restore: Callable[[Any], None]) -> None:
    """Have something kept with the checkpoints of a model's training; call it before training begins.

    Args:
        model: the one that is trained.
        name: by which it is told, and found again.
        keep: gives it as plain data that JSON can hold; called on every process.
        restore: takes what `keep` gave; called on every process of a run that goes on.
    """
    vars(model).setdefault(_ATTRIBUTE, {})[name] = _Memory(keep, restore)


def kept(model: Any) -> dict[str, Any]:
    """What a checkpoint tells of it, beside its other facts; {} where nothing is to be remembered."""
    memories = _memories(model)
    return {_KEY: {name: memory.keep() for name, memory in memories.items()}} if memories else {}


def snapshot(model: Any) -> Callable[[], None]:
    """What brings all that is remembered back to what it is now: for a step that is made again."""
    found = [(memory, memory.keep()) for memory in _memories(model).values()]

    def bring_back() -> None:
        for memory, now in found:
            memory.restore(now)

    return bring_back


def restore(model: Any, checkpoint: Path) -> None:
    """Give back what a checkpoint kept; what it did not keep begins anew, which is said."""
    memories = _memories(model)
    found = manifests.told(checkpoint, MARKER).get(_KEY, {}) if memories else {}
    for name, memory in memories.items():
        if name in found:
            memory.restore(found[name])
        else:
            logger.warning("%s does not hold %s, which begins anew", checkpoint.name, name)


def _memories(model: Any) -> dict[str, _Memory]:
    found: dict[str, _Memory] = getattr(model, "__dict__", {}).get(_ATTRIBUTE, {})
    return found
