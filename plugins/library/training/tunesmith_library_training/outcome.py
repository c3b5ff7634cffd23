"""What came of a training, as its loop tells it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """What came of a training."""

    step: int  # the last optimizer step
    finished: bool  # False when it was interrupted; a checkpoint holds what there is
    metrics: Mapping[str, float] = field(default_factory=dict)  # of the whole run
    model: Any = None  # what is saved with `save_pretrained`; None for the job's model
    weights: Mapping[str, Any] | None = None  # of a model that is spread over processes, gathered; None: its own
    beside: Callable[[Path], None] | None = None  # writes further files of the result into a folder
