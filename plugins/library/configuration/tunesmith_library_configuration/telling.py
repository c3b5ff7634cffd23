"""What is told once."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def once(logger: logging.Logger) -> Iterator[None]:
    """Tell each message of a logger a single time within the block, for what comes to the same by two ways."""
    told: set[tuple[int, str]] = set()

    def is_new(record: logging.LogRecord) -> bool:
        known = len(told)
        told.add((record.levelno, record.getMessage()))
        return len(told) > known

    logger.addFilter(is_new)
    try:
        yield
    finally:
        logger.removeFilter(is_new)
