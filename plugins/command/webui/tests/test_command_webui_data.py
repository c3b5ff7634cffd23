"""The view Data in a real browser: brought in, read, judged by keys, edited, saved, compared, checked; and prompts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

PAIRS = [
    {
        "conversations": [{"from": "human", "value": f"Question {n}?"}],
        "chosen": {"from": "gpt", "value": f"A good answer {n}."},
        "rejected": {"from": "gpt", "value": f"A bad answer {n}."},
    }
    for n in range(1, 4)
]
CHATS = [{"instruction": f"Ask {n}", "input": "", "output": f"Answer {n}."} for n in range(1, 31)]


@pytest.fixture
def page(served: Any, open_page: Callable[..., Page]) -> Page:
    (served.root / "pairs.json").write_text(json.dumps(PAIRS))
    (served.root / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*CHATS, CHATS[0]]))
    return open_page(f"{served.url}#data")


def lines(served: Any, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (served.root / name).read_text().splitlines()]


def test_rows_are_judged_by_keys_and_become_a_version(
    served: Any, page: Page, open_page: Callable[..., Page], axe: Callable[..., None]
) -> None:
    from playwright.sync_api import expect

    page.get_by_role("link", name="pairs.json").click()
    expect(page.get_by_role("article")).to_have_count(3)
    axe(page)
    page.get_by_label("Your name, for judgements and versions").fill("ann")
    page.get_by_role("tab", name="Judge").click()
    article = page.get_by_role("article")
    for row in (1, 2):
        expect(article).to_contain_text(f"Question {row}?")
        left = article.get_by_role("heading", name="Answer A").locator("xpath=..").inner_text()
        page.locator("body").press("b" if "good" in left else "a")  # the bad one, on whichever side it is
    expect(article).to_contain_text("Question 3?")
    axe(page)
    for key in "esj":  # what comes before the field is open goes nowhere
        page.keyboard.press(key)
    page.get_by_label("The answer as it should be").fill("The best answer.")
    expect(article).to_contain_text("Question 3?")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("You have judged every row")).to_be_visible()
    expect(page.get_by_text("3 of 3 judged")).to_be_visible()
    page.get_by_role("button", name="Save a version").click()
    page.get_by_label("Preferences (DPO)").check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("link", name="pairs.v2.jsonl")).to_be_visible()
    chosen = [row["chosen"][0]["content"] for row in lines(served, "pairs.v2.jsonl")]
    assert chosen == ["A bad answer 1.", "A bad answer 2.", "The best answer."]
    axe(page)
    page.get_by_role("button", name="Differences of pairs.v2.jsonl").click()
    expect(page.get_by_text("3 changed")).to_be_visible()
    narrow = open_page(f"{served.url}#data/pairs.json", width=390, language="zh-CN")
    expect(narrow.get_by_role("tab", name="标注")).to_be_visible()
    expect(narrow.get_by_role("article")).to_have_count(3)
    assert narrow.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_rows_are_found_edited_and_checked(served: Any, page: Page, axe: Callable[..., None]) -> None:
    from playwright.sync_api import expect

    page.get_by_role("link", name="chats.jsonl").click()
    page.get_by_label("Your name, for judgements and versions").fill("bob")
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("21 to 31 of 31")).to_be_visible()
    page.get_by_role("search").get_by_role("searchbox").fill("answer 17")
    page.keyboard.press("Enter")
    expect(page.get_by_role("article")).to_have_count(1)
    page.get_by_role("button", name="Edit").click()
    axe(page)
    page.get_by_label("Text of message 2").fill("Seventeen.")
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Discard what was written")).to_be_visible()
    page.keyboard.press("Escape")
    changed_by_eve(page)
    page.get_by_role("button", name="Keep the change").click()
    page.get_by_role("button", name="Read the row again").click()
    expect(page.get_by_text("17, says eve.")).to_be_visible()
    expect(page.get_by_label("Text of message 2")).to_have_value("Seventeen.")
    page.get_by_role("button", name="Keep the change").click()
    expect(page.get_by_role("article")).to_have_count(0)
    page.get_by_role("search").get_by_role("searchbox").fill("ask 17")
    page.keyboard.press("Enter")
    expect(page.get_by_role("article")).to_contain_text("Seventeen.")
    page.get_by_role("tab", name="Check").click()
    sets = page.get_by_role("combobox", name="Evaluation sets")
    sets.fill("pai")
    expect(page.get_by_role("option", name="pairs.json")).to_be_visible()
    sets.press("ArrowDown")
    sets.press("Enter")
    expect(page.get_by_role("link", name="pairs.json")).to_be_visible()
    sets.press("Tab")
    expect(page.get_by_label("Count tokens of this model")).to_be_focused()
    page.get_by_role("button", name="Remove pairs.json").click()
    page.get_by_role("button", name="Look for faults").click()
    page.get_by_role("button", name="show 1").click(timeout=30_000)
    expect(page.get_by_role("article")).to_contain_text("Answer 1.")
    expect(page.get_by_role("article")).to_have_attribute("aria-label", "Row 31")


def changed_by_eve(page: Page) -> None:
    """Row 17 is changed by somebody else, while it stands open in a form."""
    record = {"instruction": "Ask 17", "input": "", "output": "17, says eve."}
    note = {"data": "chats.jsonl", "row": 17, "author": "eve", "action": "edit", "revision": 0, "value": record}
    asked = """note => fetch("api/data/notes", {method: "POST", body: JSON.stringify(note),
      headers: {"X-Tunesmith": "1", "Content-Type": "application/json"}}).then(({ status }) => status)"""
    assert page.evaluate(asked, note) == 200


def test_data_are_brought_in_and_named_and_prompts_are_kept(served: Any, page: Page, axe: Callable[..., None]) -> None:
    from playwright.sync_api import expect

    page.get_by_role("button", name="Bring in data").click()
    axe(page)
    file = {"name": "talk.jsonl", "mimeType": "application/json", "buffer": b'{"frage": "Wer?", "antwort": "Ich."}\n'}
    page.get_by_label("File of this computer").set_input_files(file)  # type: ignore[arg-type]
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("link", name="data/talk.jsonl").first).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Add a known name").click()
    page.get_by_label("Name", exact=True).fill("talk")
    page.get_by_label("Path or hub address").fill("data/talk.jsonl")
    page.get_by_label("Format").select_option("alpaca")
    for number, (field, column) in enumerate((("instruction", "frage"), ("output", "antwort")), start=1):
        page.get_by_role("button", name="Map a field").click()
        page.get_by_label(f"Field {number}", exact=True).fill(field)
        page.get_by_label(f"Column for field {number}").select_option(column)
    expect(page.get_by_role("dialog").get_by_text("Ich.", exact=True)).to_be_visible()
    axe(page)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("link", name="talk", exact=True)).to_be_visible()
    page.get_by_role("link", name="Prompt library").click()
    page.get_by_role("button", name="New prompt").click()
    page.get_by_label("Name", exact=True).fill("Summary")
    page.get_by_label("Text", exact=True).fill("Summarize {{topic}}")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Use Summary").click()
    page.get_by_label("topic").fill("whales")
    expect(page.get_by_text("Summarize whales")).to_be_visible()
    axe(page)
