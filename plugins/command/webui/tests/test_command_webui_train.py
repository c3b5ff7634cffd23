"""The view Train in a real browser: a form of every option, its text, its plan, a sweep, and the start."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

sync = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright: make programs")
expect = sync.expect
pytestmark = pytest.mark.slow

TINY = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 512,
}
RECIPE = """# A recipe of mine.
model: {path: tiny}
template: chatml
data: {train: [chat.jsonl]}
adapter: {name: lora, rank: 4}
trainer: {max_steps: 5}
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A folder with data, a recipe, and of a tiny model what a plan reads."""
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text(json.dumps(TINY))
    chat = {"messages": [{"role": "user", "content": "How many?"}, {"role": "assistant", "content": "Two."}]}
    (tmp_path / "chat.jsonl").write_text("\n".join([json.dumps(chat)] * 20))
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "mine.yaml").write_text(RECIPE)
    return tmp_path


def test_train(
    workspace: Path, serve: Callable[..., Any], open_page: Callable[..., Page], axe: Callable[[Page], None]
) -> None:
    """From a recipe over the form, the text and the plan to a run in the queue."""
    served = serve(workspace)
    page = open_page(f"{served.url}#train")
    page.set_default_timeout(30_000)  # the first time all plugins are imported
    plan, text = page.locator(".plan"), page.get_by_role("textbox", name="YAML file")
    page.get_by_label("Begin with a recipe").select_option("conf/mine.yaml")
    expect(plan).to_contain_text("It fits", timeout=30_000)

    page.get_by_role("searchbox").fill("warmup ratio")  # an option beside the common ones, wrong and mended
    field = page.get_by_label("trainer.warmup_ratio")
    field.fill("2")
    expect(page.locator(".field", has=field)).to_contain_text("has to be below 1")
    field.blur()
    expect(plan).to_contain_text("trainer.warmup_ratio cannot be 2")
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_disabled()
    page.get_by_role("button", name="reset: trainer.warmup_ratio").click()
    expect(plan).to_contain_text("The configuration is right")
    page.get_by_role("searchbox").fill("")
    page.get_by_label("Quantization").select_option("hqq")
    expect(text).to_have_value(re.compile("quantizer: hqq"))
    axe(page)

    text.fill("adapter: [\n")  # by hand, wrong and right, with a comment that is lost
    page.get_by_role("button", name="Read back").click()
    expect(page.get_by_role("alert").first).to_contain_text("not YAML")
    text.fill(RECIPE.replace("rank: 4", "rank: 6"))
    text.press("Control+Enter")
    expect(page.get_by_text("its comments are not kept")).to_be_visible(timeout=20_000)
    expect(page.get_by_label("adapter.rank", exact=True)).to_have_value("6")
    command = page.get_by_label("Command line")
    expect(command).to_have_value(re.compile("adapter.rank=6"))
    command.fill("tunesmith train conf/mine.yaml adapter.rank=7")
    command.press("Control+Enter")
    expect(page.get_by_label("adapter.rank", exact=True)).to_have_value("7", timeout=20_000)
    text.fill(
        "model_name_or_path: tiny\nstage: sft\nfinetuning_type: lora\nnonsense_key: 3\n"
    )  # what is read and in no option of the form
    expect(page.get_by_text("The text below has edits")).to_be_visible()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_disabled()
    text.press("Control+Enter")
    expect(page.locator(".lost")).to_contain_text("nonsense_key: it is no key of LLaMA-Factory", timeout=20_000)
    for _ in range(2):
        page.get_by_role("button", name="Undo").click()

    page.reload()  # the draft is still there
    expect(page.get_by_label("adapter.rank", exact=True)).to_have_value("6")
    sweep(page, axe)
    page.request.patch(f"{served.url}/api/jobs/rules", headers={"X-Tunesmith": "1"}, data={"paused": True})
    page.get_by_label("Name of the run").fill("first")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page).to_have_url(re.compile("#watch/first$"))
    assert "rank: 6" in (served.runs / ".studio" / "configurations" / "first.yaml").read_text()
    (job,) = page.request.get(f"{served.url}/api/jobs").json()["items"]
    assert (job["state"], job["run"], job["kind"]) == ("queued", "first", "train")
    on_a_phone(open_page(f"{served.url}#train/source:conf/mine.yaml", width=390, language="zh-CN"), axe)


def test_what_one_that_was_given_up_has_outdated_is_asked_again(
    serve: Callable[..., Any], open_page: Callable[..., Page], workspace: Path
) -> None:
    """It may come in after what was asked last, whose answer is then 409."""
    served, outdated = serve(workspace), dict[str, int]()
    page = open_page(served.url)
    page.set_default_timeout(30_000)

    def answered(route: Any) -> None:
        path = route.request.url.rpartition("/")[2]
        outdated[path] = outdated.get(path, 0) + 1
        if outdated[path] == 1:
            route.fulfill(status=409, json={"error": {"message": "something newer was asked for"}})
        else:
            route.continue_()

    for path in ("compose", "plan"):
        page.route(f"**/api/{path}", answered)
    page.goto(f"{served.url}#train")
    page.get_by_label("Begin with a recipe").select_option("conf/mine.yaml")
    expect(page.locator(".plan")).to_contain_text("It fits", timeout=60_000)
    assert min(outdated["compose"], outdated["plan"]) > 1


def sweep(page: Page, axe: Callable[[Page], None]) -> None:
    """Two runs of which one is impossible."""
    page.get_by_role("button", name="Sweep").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Option", exact=True).fill("adapter.rank")
    dialog.get_by_label("Values", exact=True).fill("8, 0")
    dialog.get_by_role("button", name="Plan the runs").click()
    expect(dialog.locator("s")).to_have_text("adapter.rank=0", timeout=20_000)
    expect(dialog.get_by_role("button", name="Start 1 run")).to_be_enabled(timeout=20_000)
    axe(page)
    page.keyboard.press("Escape")


def on_a_phone(page: Page, axe: Callable[[Page], None]) -> None:
    """The recipe that the address names, in Chinese."""
    page.set_default_timeout(30_000)
    expect(page.locator(".plan")).to_contain_text("配置无误", timeout=30_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.get_by_role("textbox", name=re.compile(r"adapter\.rank$"))).to_have_value("4")
    axe(page)
