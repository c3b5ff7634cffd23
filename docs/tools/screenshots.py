"""The pictures of the web page in docs/figures, taken of a real Chromium on the way of tests/page_way.py.

`make demo` first, whose small models answer; then `python docs/tools/screenshots.py`. It takes some minutes.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "docs/figures"
DEMO = ROOT / ".demo"
LOCALES = {"en": "en-US", "zh": "zh-CN"}
OPTIONS = {"trainer.num_train_epochs": "30", "trainer.learning_rate": "5e-3", "trainer.logging_steps": "1"}


def main() -> None:
    """Take them all."""
    if not (DEMO / "pretrained" / "config.json").is_file():
        sys.exit("there is no .demo: run `make demo` first")
    with tempfile.TemporaryDirectory(prefix="tunesmith-screenshots-") as folder:
        root = Path(folder) / "workspace"
        (root / "runs").mkdir(parents=True)
        shutil.copytree(DEMO / "pretrained", root / "base")
        shutil.copytree(DEMO / "identity", root / "runs" / "first")
        shutil.copy(ROOT / "contrib/demo/identity.json", root)
        (root / "conf").symlink_to(ROOT / "conf")
        with open(Path(folder) / "log", "w+", encoding="utf-8") as log:
            command = [sys.executable, "-m", "tunesmith", "webui", "runs", "--port", "0", "--no-open"]
            server = subprocess.Popen(command, cwd=root, stdout=log, stderr=log)
            try:
                go_all_the_way(address(server, Path(log.name)))
            finally:
                server.terminate()
                server.wait()


def address(server: subprocess.Popen[bytes], log: Path) -> str:
    """Where the server listens, once it does."""
    while server.poll() is None:
        if found := re.search(r"http://\S+", log.read_text(encoding="utf-8")):
            return found[0].rstrip("/") + "/"
    sys.exit(log.read_text(encoding="utf-8"))


def go_all_the_way(url: str) -> None:
    """The way in each language, English on light and Chinese on dark."""
    from page_way import Way
    from PIL import Image
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for language, locale in LOCALES.items():
            theme = "light" if language == "en" else "dark"
            size = {"width": 1280, "height": 860}
            page = browser.new_page(viewport=size, color_scheme=theme, locale=locale)
            page.set_default_timeout(60_000)
            page.goto(url)
            ending = "" if language == "en" else f"-{language}"

            def look(name: str, page: object = page, ending: str = ending) -> None:
                picture = page.screenshot()  # type: ignore[attr-defined]
                few = Image.open(io.BytesIO(picture)).convert("RGB").quantize(128, dither=Image.Dither.NONE)
                few.save(FIGURES / f"webui-{name}{ending}.png", optimize=True)

            way = Way(page, url, language, look)
            way.read_data("identity.json", "Who are you?")
            way.train(language, "base", "identity.json", OPTIONS)
            way.watch()
            way.chat(language, "Who are you?", 40)
            way.export(language)
            way.compare("first", language)
        browser.close()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests"))
    main()
