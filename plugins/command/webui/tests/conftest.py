"""A served workspace and a real browser, for the tests of the page.

The browser is a Chromium: $TUNESMITH_CHROMIUM, or the one on the PATH. A test fails on an error of the page's scripts,
and on a request to any other host.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

_URL = re.compile(r"http://[\w.\[\]:]+:\d+\S*")
_PATIENCE = 60  # seconds that a server may take to come up


@dataclass
class Served:
    """A `tunesmith webui` in a process of its own."""

    process: subprocess.Popen[bytes]
    url: str
    root: Path  # the workspace, where relative paths start
    runs: Path  # the folder of the runs in it
    log: Path

    def stop(self) -> None:
        """End it, as Ctrl-C does."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(root: Path, *flags: str, **variables: str) -> Served:
    """Serve the folder `runs` of a workspace on a free port; returns when it listens.

    Raises: AssertionError, with what it said, where it does not come up.
    """
    log = root / "webui.log"
    command = [sys.executable, "-m", "tunesmith", "webui", "runs", "--no-open", "--port", "0", *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **variables}
    with open(log, "wb") as output:
        process = subprocess.Popen(command, cwd=root, stdout=output, stderr=output, env=environment)
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        if found := _URL.search(log.read_text(errors="replace")):
            return Served(process, found[0], root, root / "runs", log)
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"the server is not there: {log.read_text(errors='replace')}")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts servers over workspaces that a test has filled: `serve(root, *flags, **environment)`; they end with it."""
    servers: list[Served] = []

    def served(root: Path = tmp_path, *flags: str, **variables: str) -> Served:
        servers.append(start(root, *flags, **variables))
        return servers[-1]

    yield served
    for server in servers:
        server.stop()


@pytest.fixture
def served(serve: Callable[..., Served], tmp_path: Path) -> Served:
    """A server over an empty workspace; what a test writes to `served.root` is in it."""
    return serve(tmp_path)


@pytest.fixture
def browser() -> Iterator[Browser]:
    """A Chromium, which ends with its test: while it is there the driver's event loop runs in this thread, and other
    tests have loops of their own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright: make programs")
    program = os.environ.get("TUNESMITH_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("the page's tests need a Chromium: apt-get install chromium, or TUNESMITH_CHROMIUM=PATH")
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=program, args=[*as_root, "--disable-dev-shm-usage"])
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages: `open_page(url, width=…, height=…, theme="dark", language="zh-CN")`, each with storage of its own.

    At the end none may have had an error in its scripts or have asked another host. What a test expects of errors it
    takes from `page.errors` (texts), as in `page.errors.clear()`.
    """
    opened: list[Page] = []

    def open_at(url: str, width: int = 1280, height: int = 800, theme: str = "light", language: str = "en-US") -> Page:
        size = {"width": width, "height": height}
        context = browser.new_context(
            viewport=size, color_scheme=theme, locale=language, permissions=["clipboard-read", "clipboard-write"]
        )
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.errors = watched(page, url)  # type: ignore[attr-defined]
        opened.append(page)
        page.goto(url)
        page.locator("main h1").wait_for(state="attached")
        return page

    yield open_at
    errors = [error for page in opened for error in page.errors]  # type: ignore[attr-defined]
    for page in opened:
        page.context.close()
    assert not errors, "\n".join(errors)


@pytest.fixture
def browser_page(served: Served, open_page: Callable[..., Page]) -> Page:
    """The page of `served`, open at its first view."""
    return open_page(served.url)


def watched(page: Page, url: str) -> list[str]:
    """The errors of a page, which come to the list as they happen."""
    errors: list[str] = []
    own = urlsplit(url).netloc

    def said(message: ConsoleMessage) -> None:
        url = message.location.get("url", "")
        refused = urlsplit(url).path.startswith("/api/") and "status of 4" in message.text  # the page shows why
        if message.type == "error" and not refused:
            errors.append(f"console: {message.text} {url}")

    def asked(request: Request) -> None:
        there = urlsplit(request.url)
        if there.scheme in ("http", "https", "ws", "wss") and there.netloc != own:
            errors.append(f"asked another host: {request.url}")

    page.on("console", said)
    page.on("pageerror", lambda error: errors.append(f"script: {error}"))
    page.on("request", asked)
    return errors


@pytest.fixture
def axe() -> Callable[[Page], None]:
    """Asserts that a page, as it stands, has no axe-core violation of level serious or critical, in either theme."""
    checker = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

    def check(page: Page) -> None:
        for theme in ("light", "dark"):
            page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
            found = checker.run(page).response["violations"]
            told = [
                f"{theme}: {each['id']} ({each['impact']}): {each['help']}\n    "
                + "\n    ".join(f"{node['target']}: {node['html'][:200]}" for node in each["nodes"][:5])
                for each in found
                if each["impact"] in ("serious", "critical")
            ]
            assert not told, "\n".join(told)

    return check
