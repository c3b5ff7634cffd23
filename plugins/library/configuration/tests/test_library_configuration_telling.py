"""A message is told once within a block, and again after it."""

import logging

from tunesmith_library_configuration.telling import once


def test_once(caplog):
    logger = logging.getLogger("telling")
    logger.setLevel(logging.INFO)
    with once(logger):
        for value in (1, 1, 2):
            logger.info("value %d", value)
            logger.warning("value %d", value)
    logger.info("value %d", 1)
    levels = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert levels == [
        ("INFO", "value 1"),
        ("WARNING", "value 1"),
        ("INFO", "value 2"),
        ("WARNING", "value 2"),
        ("INFO", "value 1"),
    ]
