"""The shell of the page, in a real browser: signing in, keys, theme, language, a server that is lost and found."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

sync = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright: make programs")
expect = sync.expect
pytestmark = pytest.mark.slow

PASSWORD = "ein langes Passwort"


def test_every_view_opens_in_both_languages_and_themes(
    served: Any, open_page: Callable[..., Page], axe: Callable[[Page], None]
) -> None:
    page = open_page(served.url + "#plugins", width=390, theme="dark", language="zh-CN")
    expect(page).to_have_title("插件 · Tunesmith")
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    page.get_by_label("语言").select_option("en")
    names = page.locator("nav a").all_inner_texts()
    assert names == ["Train", "Watch", "Queue", "Runs", "Chat", "Evaluate", "Export", "Data", "Plugins"]
    for name in names:
        page.get_by_role("link", name=name, exact=True).first.click()
        expect(page).to_have_title(f"{name} · Tunesmith")
        page.locator("main > :nth-child(2):not([aria-busy])").wait_for(state="attached")
        assert not page.get_by_text("This did not work").count()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
    page.reload()
    expect(page).to_have_title("Plugins · Tunesmith")
    assert page.get_by_label("Language").input_value() == "en"
    axe(page)


def test_the_theme_stays(served: Any, open_page: Callable[..., Page]) -> None:
    page = open_page(served.url + "#plugins")
    page.get_by_label("Theme").select_option("dark")
    expect(page.locator("body")).to_have_css("color-scheme", "dark")
    page.reload()
    expect(page.locator("body")).to_have_css("color-scheme", "dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"


def test_keys(served: Any, open_page: Callable[..., Page], axe: Callable[[Page], None]) -> None:
    page = open_page(served.url + "#plugins")
    page.keyboard.press("g")
    page.keyboard.press("d")
    expect(page).to_have_title("Data · Tunesmith")
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    axe(page)
    page.get_by_label("Single keys work").uncheck()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.wait_for_timeout(200)
    expect(page).to_have_title("Data · Tunesmith")


def test_signing_in(serve: Callable[..., Any], tmp_path: Any, open_page: Callable[..., Page], axe: Any) -> None:
    served = serve(tmp_path, TUNESMITH_WEBUI_PASSWORD=PASSWORD)
    page = open_page(served.url + "#plugins")
    expect(page).to_have_title("Sign in · Tunesmith")
    assert not page.locator("nav").count()
    axe(page)
    field = page.get_by_label("Password")
    field.fill("wrong")
    field.press("Enter")
    page.get_by_text("This is not the password.").wait_for()
    field.fill(PASSWORD)
    field.press("Enter")
    expect(page).to_have_title("Plugins · Tunesmith")
    page.reload()
    expect(page).to_have_title("Plugins · Tunesmith")
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_title("Sign in · Tunesmith")
    assert PASSWORD not in served.log.read_text()


def test_a_server_that_is_lost_and_found(served: Any, open_page: Callable[..., Page]) -> None:
    page = open_page(served.url + "#plugins")
    page.wait_for_timeout(500)
    served.process.send_signal(signal.SIGKILL)
    served.process.wait()
    page.get_by_role("alert").filter(has_text="The server does not answer").wait_for()
    port = served.url.rpartition(":")[2].strip("/")
    command = [sys.executable, "-m", "tunesmith", "webui", "runs", "--no-open", "--port", port]
    with open(served.log, "ab") as log:
        served.process = subprocess.Popen(command, cwd=served.root, stdout=log, stderr=log)
    page.get_by_text("The server does not answer").wait_for(state="detached", timeout=30_000)
    page.errors.clear()  # type: ignore[attr-defined]  # of what it asked meanwhile
