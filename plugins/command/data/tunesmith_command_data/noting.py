"""What is announced and warned of during a call, kept for who asked."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from tunesmith.messages import logger


@contextlib.contextmanager
def noted() -> Iterator[list[dict[str, Any]]]:
    """The level and text of what is said meanwhile."""
    notes: list[dict[str, Any]] = []

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            notes.append({"level": record.levelname.lower(), "message": record.getMessage()})

    handler, level = Notes(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield notes
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Nothing but errors is said meanwhile."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
