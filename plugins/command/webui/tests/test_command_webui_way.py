"""The whole way at the page, in English and in Chinese: data, preview, training, curves, chat, export, comparison."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from page_way import Way

pytestmark = pytest.mark.slow


def seen(check: Callable[[Any], None] | None, page: Any, name: str) -> None:
    """A station of the way."""
    if check:
        check(page)


def test_the_whole_way(
    serve: Callable[..., Any],
    open_page: Callable[..., Any],
    axe: Callable[[Any], None],
    tiny_llama: Path,
    tmp_path: Path,
) -> None:
    shutil.copytree(tiny_llama, tmp_path / "base")
    rows = [{"instruction": f"Count to {n}.", "input": "", "output": f"{n} steps"} for n in range(1, 41)]
    (tmp_path / "counting.json").write_text(json.dumps(rows), encoding="utf-8")
    served = serve(tmp_path)
    for language, locale, rate in (("en", "en-US", "1e-3"), ("zh", "zh-CN", "1e-2")):
        page = open_page(served.url, language=locale)
        look = partial(seen, axe if language == "en" else None, page)
        way = Way(page, served.url, language, look)
        way.read_data("counting.json", "Count to 3.")
        steps = {"trainer.num_train_epochs": "40", "trainer.learning_rate": rate, "trainer.logging_steps": "1"}
        way.train(language, "base", "counting.json", steps)
        assert len(way.watch()) >= 3, "the curve moves"
        assert way.chat(language, "Count to 3.", 12)
        way.export(language)
        assert (tmp_path / "runs" / f"{language}-merged" / "config.json").is_file()
    way.compare("en", "zh")
    page.get_by_role("row").filter(has_text="trainer.learning_rate").get_by_text("0.01", exact=True).wait_for()
