"""What the kernel and its plugins tell the user: announcements go through `logging`, once each."""

import logging

logger = logging.getLogger("tunesmith")


def announce(what: str, value: object, why: str) -> None:
    """Say a value that was taken from elsewhere: `template: qwen3 (from the model's type)`."""
    logger.info("%s: %s (%s)", what, value, why)


def is_quiet() -> bool:
    """Whether the user wants warnings, errors and results only: no progress, no announcements."""
    return logger.level > logging.INFO
