"""Export and Plugins in a real browser: a model is chosen, planned, exported, and its report read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sync = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright: make programs")
expect = sync.expect
pytestmark = pytest.mark.slow

EXPORTED = 90_000  # milliseconds that an export of a tiny model may take, torch's import included


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    from tunesmith_library_testing.tiny import save_tiny_model

    save_tiny_model(tmp_path / "models" / "tiny")
    return tmp_path


def test_a_model_is_exported_and_its_report_read(
    workspace: Path, serve: Callable[..., Any], open_page: Callable[..., Any], axe: Callable[[Any], None]
) -> None:
    page = open_page(f"{serve(workspace).url}#export")
    expect(page.get_by_text("None yet.")).to_be_visible()
    chooses(page)
    expect(page.get_by_text("Nothing is wrong.")).to_be_visible(timeout=EXPORTED)
    axe(page)
    refuses_a_folder_that_is_there(page)
    page.get_by_role("button", name="Start the export").click()
    expect(page.get_by_text("done", exact=True)).to_be_visible(timeout=EXPORTED)
    assert (workspace / "runs" / "tiny-merged" / "export_report.json").is_file()
    expect(page.get_by_role("cell", name="merged", exact=True)).to_be_visible()
    page.get_by_role("link", name="Report and files").click()
    expect(page.get_by_role("row", name="The same first choice 100%")).to_be_visible()
    expect(page.get_by_role("row", name="tensors equal")).to_be_visible()
    expect(page.get_by_text("tunesmith chat runs/tiny-merged")).to_be_visible()
    axe(page)


def chooses(page: Any) -> None:
    """The picker, by keyboard alone: found by words, left with Escape, taken with Enter."""
    field = page.get_by_role("combobox", name="Run, checkpoint")
    field.fill("no such model anywhere")
    expect(page.get_by_text("Nothing is found here")).to_be_visible()
    field.fill("tiny")
    expect(page.get_by_role("option", name="tiny")).to_be_visible()
    field.press("Escape")
    expect(field).to_have_attribute("aria-expanded", "false")
    field.press("ArrowDown")
    field.press("ArrowDown")
    expect(page.locator("[role=option][aria-selected=true]")).to_contain_text("models/tiny")
    field.press("Enter")
    expect(field).to_have_value("models/tiny")
    expect(page.get_by_text("architecture LlamaForCausalLM")).to_be_visible()


def refuses_a_folder_that_is_there(page: Any) -> None:
    output, start = page.get_by_label("Folder to write"), page.get_by_role("button", name="Start the export")
    output.fill("models/tiny")
    expect(page.get_by_text("models/tiny is there already.")).to_be_visible()
    expect(start).to_be_disabled()
    output.fill("/etc/there")
    expect(page.get_by_role("alert").filter(has_text="outside of the workspace")).to_be_visible()
    output.fill("")
    expect(start).to_be_enabled()


def test_plugins_are_found_and_explained(
    served: Any, open_page: Callable[..., Any], axe: Callable[[Any], None]
) -> None:
    page = open_page(f"{served.url}#plugins")
    page.get_by_role("searchbox").fill("lora variants")
    expect(page.get_by_text("1 plugin is installed.")).to_be_visible(timeout=EXPORTED)
    axe(page)
    page.get_by_role("link", name="lora", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("row", name="use_dora")).to_contain_text("DoRA")
    expect(dialog.get_by_text("adapter=lora", exact=True)).to_be_visible()
    axe(page)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page = open_page(f"{served.url}#plugins/adapter.lora", width=390, theme="dark", language="zh-CN")
    expect(page.get_by_role("dialog").get_by_text("LoRA 秩")).to_be_visible()
    axe(page)
    page.evaluate("location.hash = '#chat'")
    expect(page.get_by_role("link", name="对话")).to_have_attribute("aria-current", "page")
    assert page.url.endswith("#chat"), "a dialog that goes with its view does not call it back"
