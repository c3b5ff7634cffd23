"""The web page: seconds to its first picture, memory, a run of 100,000 steps, and what 20 open pages cost a training.

Every figure of time is from the start of a process or of a navigation to what a real Chromium has drawn; without one
only memory and the cost of listeners are measured. Listeners are what an open page has: one websocket that hears of the
run, the machine and the jobs.
"""

import asyncio
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from startup import two_steps

ROUNDS, TRAININGS, STEPS, PAGES, LOGGED = 5, 3, 60, 20, 100_000
PACE, LISTENED = 0.1, 30.0  # seconds between two steps of a run that pretends, and for how long it goes on
CHROMIUM = os.environ.get("TUNESMITH_CHROMIUM") or shutil.which("chromium")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class Server:
    """`tunesmith webui` over a folder of runs."""

    def __init__(self, root: Path) -> None:
        self.started = time.time()
        command = [sys.executable, "-m", "tunesmith", "webui", "runs", "--no-open", "--port", "0"]
        environment = {**ENVIRONMENT, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout
        self.url = re.findall(r"http://\S+", self.process.stdout.readline())[0]

    def memory(self) -> str:
        """Resident and proportional memory, in MB; of the processes that it has started too, in brackets."""
        own, below = _memory(self.process.pid), [_memory(pid) for pid in _children(self.process.pid)]
        more = f" (+ {sum(each[1] for each in below):.0f} in {len(below)} processes)" if below else ""
        return f"RSS {own[0]:.0f} MB, PSS {own[1]:.0f} MB{more}"

    def cpu_seconds(self) -> float:
        return _cpu_seconds(self.process.pid)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()


@contextmanager
def served(root: Path) -> Iterator[Server]:
    server = Server(root)
    try:
        yield server
    finally:
        server.end()


def _memory(pid: int) -> tuple[float, float]:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    rss, pss = (int(re.findall(rf"^{name}:\s+(\d+)", text, re.MULTILINE)[0]) / 1024 for name in ("Rss", "Pss"))
    return rss, pss


def _children(pid: int) -> list[int]:
    own = [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]
    return [*own, *(grandchild for child in own for grandchild in _children(child))]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def long_run(runs: Path) -> None:
    """A run that has logged many steps."""
    folder = runs / "long"
    folder.mkdir(parents=True)
    (folder / "run.yaml").write_text("model:\n  path: model\nstage: sft\n")
    with open(folder / "metrics.jsonl", "w") as file:
        for step in range(1, LOGGED + 1):
            figures = {"loss": 2 * math.exp(-step / 3e4), "learning_rate": 1e-4, "grad_norm": 1 + step % 7 / 10}
            file.write(json.dumps({"step": step, "epoch": step / 1000, "time": 1.7e9 + step, **figures}) + "\n")


def first_pages(root: Path, browser: Any) -> None:
    """From the start of the command to the first picture, and to the run of many steps."""
    first, drawn = [], []
    for _ in range(ROUNDS):
        with served(root) as server:
            page = browser.new_context().new_page()
            page.goto(server.url + "#plugins")
            page.locator("main h1").wait_for(state="attached")
            paint = "performance.timeOrigin + performance.getEntriesByName('first-contentful-paint')[0].startTime"
            page.wait_for_timeout(200)
            first.append(page.evaluate(paint) / 1000 - server.started)
            page = browser.new_context().new_page()
            page.goto(server.url + "#plugins")  # the page itself is there; the run is not known to the server yet
            page.locator("main h1").wait_for(state="attached")
            begin = time.time()
            page.evaluate("location.hash = 'watch/long'")
            page.locator("canvas").first.wait_for()
            drawn.append(time.time() - begin)
    _report("command to first picture, s", first)
    _report(f"run of {LOGGED:,} steps to its first chart, s", drawn)


def memories(root: Path, browser: Any) -> None:
    with served(root) as server:
        time.sleep(2)
        print(f"  {'idle':44} {server.memory()}")
        if not browser:
            return
        page = browser.new_context().new_page()
        page.goto(server.url)
        time.sleep(3)
        print(f"  {'after its first page':44} {server.memory()}")
        for view in ("watch/long", "runs", "chat", "evaluate", "export", "data", "plugins"):
            page.evaluate("view => { location.hash = view }", view)
            time.sleep(2)
        print(f"  {'after every view':44} {server.memory()}")
        page.close()
        pages = [browser.new_context().new_page() for _ in range(PAGES)]
        for page in pages:
            page.goto(server.url + "#watch/long")
        time.sleep(5)
        print(f"  {f'{PAGES} pages open':44} {server.memory()}")
        before = server.cpu_seconds()
        time.sleep(20)
        print(f"  {f'{PAGES} pages open, of one core':44} {(server.cpu_seconds() - before) / 20:.2%}")


async def _listening(url: str, run: str) -> None:
    import websockets

    async def one() -> None:
        async with websockets.connect(url.replace("http", "ws") + "/api/socket") as socket:
            await socket.send(json.dumps({"topics": [f"run:{run}", "machine", "jobs"]}))
            async for _ in socket:
                pass

    await asyncio.gather(*(one() for _ in range(PAGES)))


@contextmanager
def _listeners(server: Server, run: str) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, __file__, server.url, run])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def pretended(root: Path) -> None:
    """What the server takes of a core while pages look at a run that logs ten steps a second."""
    folder = root / "runs" / "pretended"
    folder.mkdir()
    (folder / "run.yaml").write_text("model:\n  path: model\nstage: sft\n")
    with served(root) as server, _listeners(server, "pretended"), open(folder / "metrics.jsonl", "w") as file:
        before, begin = server.cpu_seconds(), time.monotonic()
        for step in range(1, int(LISTENED / PACE)):
            file.write(json.dumps({"step": step, "time": time.time(), "loss": 1 / step, "grad_norm": 1.0}) + "\n")
            file.flush()
            time.sleep(PACE)
        share = (server.cpu_seconds() - before) / (time.monotonic() - begin)
    print(f"  {f'{PAGES} listeners, ten steps a second, of one core':44} {share:.2%}")


def training(root: Path) -> None:
    """CPU-seconds of the same training with and without listeners, in turns."""
    command = [sys.executable, *two_steps(root), f"trainer.max_steps={STEPS}", "trainer.logging_steps=1"]
    found: dict[bool, list[float]] = {False: [], True: []}
    with served(root) as server:
        for turn in range(2 * TRAININGS):
            with _listeners(server, "trained") if turn % 2 else nullcontext():
                found[turn % 2 == 1].append(_trained([*command, "output_dir=runs/trained"], root))
    _report(f"{STEPS} steps, nobody looks, CPU-s", found[False])
    _report(f"{STEPS} steps, {PAGES} listeners, CPU-s", found[True])


def _trained(command: list[str], root: Path) -> float:
    environment = {**ENVIRONMENT, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    usage = os.wait4(process.pid, 0)[2]
    return usage.ru_utime + usage.ru_stime


def _report(label: str, times: list[float]) -> None:
    print(f"  {label:44} {statistics.median(times):6.2f}   (min {min(times):.2f}, max {max(times):.2f})")


@contextmanager
def _browser() -> Iterator[Any]:
    if not CHROMIUM:
        yield None
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        browser.new_page().goto("about:blank")
        yield browser
        browser.close()


def main() -> None:
    print(f"the web page, median of {ROUNDS}")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        long_run(root / "runs")
        with _browser() as browser:
            if browser:
                first_pages(root, browser)
            memories(root, browser)
        pretended(root)
        training(root)
    print()


if __name__ == "__main__":
    if sys.argv[1:]:
        asyncio.run(_listening(*sys.argv[1:]))
    else:
        main()
