"""The view Watch in a real browser: a run that goes on, its curves, log, samples and end; and a very long one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from tunesmith_library_configuration.locks import locked

if TYPE_CHECKING:
    from playwright.sync_api import Page

sync = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright: make programs")
expect = sync.expect
pytestmark = pytest.mark.slow

DRAWN = """canvas => {
  const dots = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return dots.some((value, at) => at % 4 === 3 && value > 0);
}"""

MARKED = """canvas => {  // in the colour of the first curve
  const dots = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  for (let at = 0; at < dots.length; at += 4) {
    if (dots[at] === 54 && dots[at + 1] === 81 && dots[at + 2] === 201 && dots[at + 3] === 255) return true;
  }
  return false;
}"""
ASK = """([method, path, body]) => fetch(`api/${path}`, {method, body: JSON.stringify(body),
  headers: {"X-Tunesmith": "1", "Content-Type": "application/json"}}).then(({ ok }) => ok)"""


def add(file: Path, records: Iterable[Mapping[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.writelines(json.dumps(record) + "\n" for record in records)


def step(number: int, total: int = 100) -> dict[str, Any]:
    told = {"event": "step", "step": number, "total_steps": total, "epoch": number / 50, "loss": 3 / number}
    return {**told, "learning_rate": 1e-4, "num_input_tokens_seen": 9.0 * number, "time": time.time() - total + number}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run at its 60th step, with two evaluations, a warning and a log; called as users may call one."""
    folder = tmp_path / "runs" / "组" / "my run"
    folder.mkdir(parents=True)
    (folder / "run.yaml").write_text("stage: {name: sft}\nmodel: {path: tiny}\ntrainer: {eval_steps: 500}\n")
    add(folder / "metrics.jsonl", [step(number) for number in range(1, 61)])
    add(folder / "metrics.jsonl", [{"event": "evaluation", "step": 60, "eval_loss": 0.25, "reward": 0.5}])
    add(folder / "guard.jsonl", [{"step": 9, "name": "loss_rises", "message": "it rises", "advice": "a lower rate"}])
    (folder / "train.log").write_text(
        "".join(f"step {number}\n" for number in range(1, 61)) + "WARNING: no pad token\n"
    )
    for at, said in ((30, "It is five."), (60, "It is four.")):
        asked = [{"role": "user", "content": "What is 2 + 2?"}]
        record = {"dataset": "held", "index": 0, "prompt": asked, "answer": "Four.", "prediction": said, "bleu": 2.5}
        add(folder / "eval" / "text_metrics" / f"step-{at}" / "samples.jsonl", [record])
    return folder


def test_a_run_is_watched_to_its_end(
    run: Path, serve: Callable[..., Any], open_page: Callable[..., Page], axe: Callable[[Page], None]
) -> None:
    with locked(run / "run.lock", run, "training"):
        page = open_page(serve(run.parents[2]).url + "#watch")
        expect(page.get_by_label("Run", exact=True)).to_have_value("组/my run")
        expect(page.get_by_text("Step 60 of 100")).to_be_visible()
        expect(page.get_by_text("it rises")).to_be_visible()
        loss = page.get_by_role("img", name="Loss. training")
        assert loss.locator("canvas").evaluate(DRAWN)
        single = page.get_by_role("img", name="Reward. training: 0.5")
        assert single.locator("canvas").evaluate(MARKED), "a single value is a mark"
        before = loss.get_attribute("aria-label")
        add(run / "metrics.jsonl", [step(number) for number in range(61, 81)])
        expect(page.get_by_text("Step 80 of 100")).to_be_visible()
        expect(loss).not_to_have_attribute("aria-label", str(before))
        look_closer(page)
        axe(page)
        read_log(page, run)
        axe(page)
        read_samples(page)
        axe(page)
        page.get_by_role("tab", name="Machine and plan").click()
        expect(page.get_by_role("meter").first).to_be_visible()
        axe(page)
        page.get_by_role("button", name="Stop", exact=True).click()
        expect(page.get_by_text("saves a checkpoint, and ends")).to_be_visible()
        page.get_by_role("button", name="Cancel").click()
    (run / "run.json").write_text(json.dumps({"status": "finished", "measured": {"seconds": {"step": 2.5}}}))
    expect(page.locator(".watched .badge")).to_have_text("done")
    expect(page.get_by_role("cell", name="2.5 s")).to_be_visible()
    waits(page)


def waits(page: Page) -> None:
    """Of a run whose job waits the queue is named, also where there is nothing of it yet."""
    assert page.evaluate(ASK, ["PATCH", "jobs/rules", {"paused": True}])
    for run in ("组/my run", "later"):
        assert page.evaluate(ASK, ["POST", "jobs", {"command": ["train", "none.yaml"], "run": run, "title": run}])
    expect(page.locator(".watched").get_by_role("link", name="waits in the queue")).to_be_visible()
    page.evaluate("location.hash = '#watch/later'")
    expect(page.get_by_role("status").filter(has_text="It has not begun yet")).to_be_visible()


def look_closer(page: Page) -> None:
    """Zoom into a chart and out of it, draw over tokens, and take the values as a table and a file."""
    page.get_by_label("Over").select_option("tokens")
    expect(page.locator(".u-legend").first).to_contain_text("tokens")
    box = page.locator(".u-over").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 30, steps=4)
    page.mouse.up()
    page.get_by_role("button", name="Whole run").click()
    expect(page.get_by_role("button", name="Whole run")).to_have_count(0)
    page.get_by_role("button", name="Enlarge: Loss").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Table of values").click()
    expect(dialog.get_by_role("region").get_by_role("row").nth(1)).to_contain_text("720")
    with page.expect_download() as saved:
        dialog.get_by_role("button", name="Save as CSV").click()
    assert (
        Path(saved.value.path()).read_text(encoding="utf-8").count("\n") == 1 + 80 + 80 + 1
    )  # raw, smoothed, evaluation
    with page.expect_download() as saved:
        dialog.get_by_role("button", name="Save as PNG").click()
    assert Path(saved.value.path()).read_bytes().startswith(b"\x89PNG")
    dialog.get_by_role("button", name="Close").click()


def read_log(page: Page, run: Path) -> None:
    page.get_by_role("tab", name="Log").click()
    log = page.get_by_role("log")
    expect(log).to_contain_text("step 60")
    with (run / "train.log").open("a") as file:
        file.write("step 61\n")
    expect(log).to_contain_text("step 61")
    page.get_by_label("Only warnings").check()
    expect(log).to_have_text("⚠ WARNING: no pad token")
    page.get_by_label("Only warnings").uncheck()
    page.get_by_label("Search").fill("step 5")
    expect(page.get_by_role("status").get_by_text("11 lines")).to_be_visible()


def read_samples(page: Page) -> None:
    page.get_by_role("tab", name="Samples").click()
    expect(page.get_by_text("What is 2 + 2?")).to_be_visible()
    expect(page.locator(".sample ins")).to_have_text("four")
    expect(page.locator(".sample del")).to_have_text("five")


def test_a_hundred_thousand_steps_open_soon(
    tmp_path: Path, serve: Callable[..., Any], open_page: Callable[..., Page]
) -> None:
    """What is bounded is what the server computes for it, since seconds on a clock are of all that runs beside it."""
    folder = tmp_path / "runs" / "long"
    folder.mkdir(parents=True)
    (folder / "run.yaml").write_text("stage: {name: sft}\n")
    more = {"grad_norm": 1.2345678901234567, "tokens_per_second": 2345.678901234567, "gpu_memory_gib": 20.12345678}
    add(folder / "metrics.jsonl", ({**step(number, 100_000), **more} for number in range(1, 100_001)))
    served = serve(tmp_path)
    page = open_page(served.url + "#plugins")
    page.get_by_role("heading").nth(1).wait_for()
    before = computed(served.process.pid)
    page.evaluate("location.hash = '#watch/long'")
    loss = page.get_by_role("img", name="Loss. training")
    loss.wait_for()
    assert computed(served.process.pid) - before < 1.5
    assert loss.locator("canvas").evaluate(DRAWN)
    expect(page.get_by_text("Step 100,000 of 100,000")).to_be_visible()
    assert psutil.Process(served.process.pid).memory_info().rss < 200e6


def computed(process: int) -> float:
    """Seconds of a core that a process has taken."""
    times = psutil.Process(process).cpu_times()
    return float(times.user + times.system)
