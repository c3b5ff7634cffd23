"""How the tests are collected: there are over twenty thousand, which every test process finds for itself."""

import gc
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

SUITES = Path(__file__).parent / "plugins/library/testing/tunesmith_library_testing/suites"
SLOW = "mark.slow"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """No garbage is looked for while tests are found, nor later among the tests and modules that are there then.

    Trainings call `gc.collect()`, and each such call went through all of that: most of the time of a short one.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """After each file of tests the same for what it has imported."""
    try:
        return (yield)
    finally:
        if nextitem is None or nextitem.path != item.path:
            gc.collect()
            gc.freeze()


@cache
def _words_of_slow_tests() -> re.Pattern[str]:
    """What a file with slow tests has in it: their mark, or the name of a suite that has some."""
    texts = [file.read_text(encoding="utf-8") for file in SUITES.glob("*.py")]
    names = [name for text in texts if SLOW in text for name in re.findall(r"^class (\w+)", text, re.M)]
    return re.compile(rf"{re.escape(SLOW)}|\b(?:{'|'.join(names)})\b")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Of slow tests alone, only the files that have some are imported."""
    if config.option.markexpr not in ("slow", "slow and not gpu") or not collection_path.name.startswith("test_"):
        return None
    if collection_path.suffix != ".py" or _words_of_slow_tests().search(collection_path.read_text(encoding="utf-8")):
        return None
    return True
