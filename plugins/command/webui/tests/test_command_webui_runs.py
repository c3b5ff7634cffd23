"""Runs and Evaluate in a real browser, over runs that were really trained: listed, compared, measured, deleted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sync = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright: make programs")
expect = sync.expect
pytestmark = pytest.mark.slow

MEASURED = 60_000  # milliseconds that measuring a tiny model may take, torch's import included


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with two runs of a tiny model, which differ in their rank."""
    import tunesmith
    from tunesmith_library_testing.tiny import save_tiny_model

    monkeypatch.chdir(tmp_path)
    save_tiny_model(tmp_path / "models" / "tiny")
    rows = [{"instruction": f"Say {number}.", "output": f"The tide turns {number} times."} for number in range(8)]
    (tmp_path / "train.json").write_text(json.dumps(rows))
    for name, rank in (("first", 2), ("group/zweiter Lauf", 4)):
        config = {
            "model.path": "models/tiny",
            "template": "chatml",
            "data": {"train": ["train.json"], "eval": ["train.json"], "cache": False},
            "adapter": {"name": "lora", "rank": rank},
            "trainer": {"max_steps": 4, "save_steps": 2, "eval_steps": 2, "logging_steps": 1, "use_cpu": True},
            "precision": "fp32",
            "output_dir": f"runs/{name}",
        }
        tunesmith.train(None, config)
    return tmp_path


def test_runs_from_the_table_to_the_trash(
    trained: Path, serve: Callable[..., Any], open_page: Callable[..., Any], axe: Callable[[Any], None]
) -> None:
    served = serve(trained)
    page = open_page(f"{served.url}#runs")
    expect(page.get_by_text("2 runs")).to_be_visible()
    lists(page, axe)
    compares(page, axe)
    looks_at_one(page, axe)
    measures(page, served, axe)
    deletes_and_restores(page, served)
    page.goto(f"{served.url}#runs")
    page.get_by_label("Language").select_option("zh")
    expect(page.get_by_text("2 个运行")).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def lists(page: Any, axe: Callable[[Any], None]) -> None:
    """Search, columns of any option, kept when the page is loaded again."""
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("dialog").get_by_role("searchbox").fill("adapter.rank")
    page.get_by_role("dialog").get_by_label("adapter.rank", exact=True).check()
    axe(page)
    page.get_by_role("button", name="OK", exact=True).click()
    page.reload()
    page.get_by_role("button", name="adapter.rank").click()
    names = page.locator("table tbody th a")
    expect(names.first).to_have_text("first")
    page.get_by_role("button", name="adapter.rank").click()
    expect(names.first).to_have_text("group/zweiter Lauf")
    page.get_by_label("Search").fill("zweiter")
    expect(page.get_by_text("1 run", exact=True)).to_be_visible()
    page.get_by_label("Search").fill("")
    expect(page.get_by_text("2 runs")).to_be_visible()
    expect(page.get_by_role("cell", name="done").first).to_be_visible()
    axe(page)


def compares(page: Any, axe: Callable[[Any], None]) -> None:
    page.get_by_label("Choose all").check()
    page.get_by_role("button", name="Compare (2)").click()
    row = page.get_by_role("row", name=re.compile("adapter.rank"))
    expect(row.get_by_role("cell")).to_have_text(["4", "2"])
    page.get_by_role("img", name=re.compile("Loss")).first.wait_for()
    page.get_by_role("button", name="Copy as Markdown").click()
    assert "| adapter.rank | 4 | 2 |" in page.evaluate("navigator.clipboard.readText()")
    axe(page)
    page.reload()
    expect(row).to_be_visible()


def looks_at_one(page: Any, axe: Callable[[Any], None]) -> None:
    page.get_by_role("link", name="group/zweiter Lauf").first.click()
    page.get_by_placeholder("New tag").fill("gut")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Remove gut")).to_be_visible()
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Notes").fill("rank **4** is enough")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".card .markdown strong")).to_have_text("4")
    expect(page.get_by_role("row", name=re.compile("memory, at its highest"))).to_be_visible()
    axe(page)
    page.get_by_role("tab", name="Configuration").click()
    expect(page.locator("pre").first).to_contain_text("rank: 4", timeout=MEASURED)
    expect(page.locator("pre").first).not_to_contain_text(re.compile("weight_decay|sample_by"))
    page.get_by_label("all of it, as recorded").check()
    expect(page.locator("pre").first).to_contain_text("weight_decay")
    page.get_by_role("tab", name="Checkpoints and exports").click()
    expect(page.get_by_role("rowheader", name="checkpoint-4")).to_be_visible()
    page.get_by_role("tab", name="Files").click()
    page.get_by_role("button", name="metrics.jsonl").click()
    expect(page.get_by_role("dialog")).to_contain_text('"loss"')
    page.keyboard.press("Escape")


def measures(page: Any, served: Any, axe: Callable[[Any], None]) -> None:
    """An evaluation from the form to its examples."""
    page.goto(f"{served.url}#evaluate/runs%2Ffirst")
    page.get_by_label("Examples of each").fill("2")
    page.get_by_role("combobox", name="Data sets").fill("train.json")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nothing is wrong with it.")).to_be_visible(timeout=MEASURED)
    axe(page)
    page.get_by_label("Examples of each").fill("3")
    expect(page.get_by_text("Nothing is wrong with it.")).to_be_hidden()  # it was said of what stood there before
    page.get_by_role("button", name="Start the evaluation").dblclick()
    examples = page.get_by_role("link", name=re.compile("Examples perplexity"))
    examples.wait_for(timeout=MEASURED)
    kinds = "fetch('api/jobs').then((told) => told.json()).then(({ items }) => items.map(({ kind }) => kind))"
    assert page.evaluate(kinds) == ["eval"], "a double click starts one"
    expect(page.get_by_role("row", name=re.compile("^perplexity"))).to_contain_text("±")
    examples.click()
    expect(page.get_by_text("1–3 of 3")).to_be_visible()
    expect(page.locator(".example").first).to_contain_text("The tide turns")
    expect(page.get_by_label("Outcome")).to_have_count(0)  # of a loss none is right
    axe(page)
    page.reload()
    expect(page.get_by_text("1–3 of 3")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("button", name="Start the evaluation")).to_be_visible()
    page.get_by_role("tab", name="Results").click()
    expect(page.get_by_role("heading", name="perplexity · first")).to_be_visible()


def deletes_and_restores(page: Any, served: Any) -> None:
    page.goto(f"{served.url}#runs")
    page.get_by_label("Choose first").check()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="To the trash").click()
    expect(page.get_by_text("1 run", exact=True)).to_be_visible()
    assert not (served.runs / "first").exists()
    page.get_by_role("button", name="Trash", exact=True).click()
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_text("The trash is empty.")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Close").last.click()
    expect(page.get_by_text("2 runs")).to_be_visible()
    assert (served.runs / "first" / "checkpoint-4" / "complete.json").is_file()
