"""The whole way of somebody at the page: data, preview, training, curves, chat, export, comparison; in any language."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

LANGUAGES = Path(__file__).parents[1] / "plugins/command/webui/tunesmith_command_webui/page/languages"
_LONG = 240_000  # ms that a training, an export or the loading of a model may take on a busy machine


def words(language: str) -> Callable[[str], str]:
    """What the page says for a key, such as `train.start`, in a language."""
    tree = json.loads((LANGUAGES / f"{language}.json").read_text(encoding="utf-8"))

    def said(key: str) -> str:
        found: Any = tree
        for part in key.split("."):
            found = found[part]
        return str(found)

    return said


class Way:
    """Somebody who goes it.

    Args:
        page: open at any view.
        url: of the server, ending with `/`.
        look: called with a name wherever there is something to see.
    """

    def __init__(self, page: Page, url: str, language: str, look: Callable[[str], object] = lambda name: None) -> None:
        self.page, self.url, self.said, self.look = page, url, words(language), look

    def go(self, view: str, detail: str = "") -> None:
        """To a view, as the navigation does or a link with more in it."""
        if detail:
            self.page.goto(f"{self.url}#{view}/{quote(detail, safe='')}")
        else:
            self.page.get_by_role("link", name=self.said(f"views.{view}"), exact=True).click()
        self.page.get_by_role("heading", level=1, name=self.said(f"views.{view}")).wait_for(state="attached")

    def button(self, key: str) -> Locator:
        return self.page.get_by_role("button", name=self.said(key), exact=True)

    def read_data(self, file: str, first: str) -> None:
        """Look at a data set's rows; `first` stands in one of them."""
        self.go("data")
        self.page.get_by_role("link", name=file).first.click()
        self.page.get_by_text(first).first.wait_for(timeout=_LONG)
        self.look("data")

    def train(self, name: str, model: str, data: str, options: Mapping[str, str]) -> None:
        """Fill in the form, look at what would be trained on, and start.

        Args:
            options: values by key, such as `trainer.learning_rate`.
        """
        self.go("train")
        self._choose("train.modelPath", model)
        self._choose("train.sets.train", data)
        for key, value in options.items():
            self.page.get_by_label(re.compile(rf"\b{re.escape(key)}\b")).first.fill(value)
        self.page.get_by_label(self.said("train.name")).fill(name)
        self.page.get_by_text(re.compile(re.escape(self.said("train.fits").split("{")[0]))).first.wait_for(
            timeout=60_000
        )
        self.look("train")
        self.button("train.preview").click()
        self.page.get_by_role("dialog").get_by_text("<|im_start|>assistant").first.wait_for(timeout=_LONG)
        self.look("preview")
        self.page.keyboard.press("Escape")
        self.button("train.start").click()
        self.page.wait_for_url(f"**/#watch/{name}")

    def _choose(self, key: str, value: str) -> None:
        field = self.page.get_by_role("combobox", name=self.said(key), exact=True)
        field.fill(value)
        field.press("Enter")

    def watch(self) -> list[str]:
        """See the curve of the loss move until the run is done; what was read of it, whenever it was another value."""
        seen: list[str] = []
        chart = self.page.locator("main .chart [role=img]").first
        chart.wait_for(timeout=_LONG)
        done = self.page.locator("main .badge").get_by_text(self.said("watch.states.done"), exact=True)
        deadline = time.monotonic() + _LONG / 1000
        while not done.count() and time.monotonic() < deadline:
            told = chart.get_attribute("aria-label") or ""
            if told not in seen:
                seen.append(told)
                if len(seen) == 5:
                    self.look("watch")
            time.sleep(0.2)
        done.wait_for()
        return seen

    def chat(self, run: str, question: str, tokens: int) -> str:
        """Load the model of a run and ask it; its answer, of so many tokens at most."""
        self.go("chat", f"runs/{run}")
        self.button("chat.load").click()
        self.page.get_by_text(self.said("chat.states.ready"), exact=True).first.wait_for(timeout=_LONG)
        self.page.locator("summary").get_by_text(self.said("chat.sampling")).click()
        self.page.get_by_label(self.said("chat.fields.max_tokens")).fill(str(tokens))
        self.page.get_by_label(self.said("chat.question")).fill(question)
        self.button("chat.send").click()
        answer = self.page.locator("article.turn.assistant:not([aria-busy])").last
        answer.wait_for(timeout=_LONG)
        said = answer.locator(".markdown").inner_text()
        self.look("chat")
        self.button("chat.unload").click()
        return said

    def export(self, run: str) -> None:
        """Write the merged model of a run, and see its report."""
        self.go("export", run)
        self.button("export.start").click()
        self.page.get_by_role("row").get_by_role("link", name=f"{run}-merged").click(timeout=_LONG)
        self.page.get_by_role("heading", name=re.compile(f"{run}-merged")).first.wait_for()
        self.look("export")

    def compare(self, *runs: str) -> None:
        """Overlay the curves of runs, and see where their options differ."""
        self.go("runs")
        for run in runs:
            self.page.get_by_role("row").filter(has_text=run).get_by_role("checkbox").first.check()
        self.look("runs")
        self.page.get_by_role(
            "button", name=re.compile(self.said("runs.compare").partition("{")[0].strip("（( "))
        ).click()
        self.page.locator("main .chart canvas").first.wait_for()
        self.look("compare")
