"""Pictures of the site in docs/figures, by a real Chromium: `make docs; python docs/tools/site_screenshots.py`."""

from __future__ import annotations

import shutil
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "docs/figures"
SHOTS = {  # name of the picture -> page, and what is searched for there
    "site": ("", ""),
    "site-zh": ("zh/reference/", ""),
    "site-search": ("howto/", "packing"),
    "site-search-zh": ("zh/howto/", "梯度累积"),
}


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def main(site: Path) -> None:
    """Take them all, of a built site."""
    if not (site / "index.html").is_file():
        sys.exit(f"there is no site in {site}: run `make docs` first")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        take(f"http://127.0.0.1:{server.server_port}/")
    finally:
        server.shutdown()


def take(address: str) -> None:
    """Take the pictures of a site that is served at an address."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 760})
        for name, (path, searched) in SHOTS.items():
            page.goto(address + path)
            if searched:
                page.locator("[data-md-toggle=search]").first.evaluate("toggle => toggle.click()")
                page.locator(".md-search__input").fill(searched)
                page.locator(".md-search-result__item").first.wait_for(timeout=60_000)
                page.wait_for_timeout(500)
            page.screenshot(path=FIGURES / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "site")
