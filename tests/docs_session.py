"""A page of the documentation as a session: its blocks run from top to bottom, in one folder, in this process.

`docs_marks` says which blocks there are; CONTRIBUTING.md explains the marks.
"""

import contextlib
import io
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from docs_marks import ROOT, Block, Command, commands, matches, page_marks, runs
from docs_stand_ins import PRACTICE, SMALL, SMALL_OF_STAGE, StandIns, furnish
from docs_surroundings import captured, elsewhere, environment, short_training

LINKED = ("conf", "contrib", "docs", "plugins", "tests")
PORTS = {"api": 8000, "webui": 7860, "mcp": 7861}
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_SHELL = re.compile(r"[|<>;`]|&&|\$[\w({?]")


class Failed(AssertionError):
    """A block did not do what its page says."""


class Session:
    """The blocks of one page, and the folder, names and servers that they share."""

    def __init__(self, page: Path, folder: Path, stand_ins: StandIns) -> None:
        self.page, self.folder, self.stand_ins = page, folder, stand_ins
        self.marks = page_marks(page)
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.ports: dict[int, int] = {}
        self.servers: list[subprocess.Popen[bytes]] = []

    def run(self) -> None:
        """Run the page.

        Raises: Failed with page, line, command and what was printed.
        """
        with self._furnished():
            for block in runs(self.page):
                self._block(block)

    def failures(self) -> list[str]:
        """Run the page, whatever fails: what is wrong with each block, "" where it did what it says."""
        found = []
        with self._furnished():
            for block in runs(self.page):
                try:
                    self._block(block)
                    found.append("")
                except Failed as failed:
                    found.append(str(failed))
        return found

    @contextlib.contextmanager
    def _furnished(self) -> Iterator[None]:
        furnish(self.folder)
        for name in LINKED:
            (self.folder / name).symlink_to(ROOT / name)
        self.stand_ins.offer(self.page.read_text(encoding="utf-8"))
        with elsewhere(self.folder, self.stand_ins.hub):
            try:
                yield
            finally:
                self._end_servers()

    def _block(self, block: Block) -> None:
        if "file" in block.marks:
            path = self.folder / block.marks["file"]
            if not (ROOT / block.marks["file"]).exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text, encoding="utf-8")
        elif "part of" in block.marks or "fragment" in block.marks:
            return
        elif block.language in ("bash", "console"):
            for command in commands(block):
                self._command(block, command)
        elif block.language == "python":
            self._python(block)
        elif block.language == "yaml":
            self._configuration(block)

    def _command(self, block: Block, command: Command) -> None:
        page = block.place.rpartition(":")[0]
        place = f"{page}:{command.line}: {command.text.strip()}"
        if command.text.rstrip().endswith(" &"):
            self._start(command, place)
            return
        code, printed = self._execute(command, planned="plan" in {**block.marks, **self.marks})
        if (code != 0) != ("fails" in block.marks):
            expected = "should fail" if "fails" in block.marks else "failed"
            raise Failed(f"{place}\n{expected}; exit code {code}. It printed:\n{printed[-3000:]}")
        if command.shown and not matches(command.shown, printed):
            shown = "\n".join(command.shown)
            raise Failed(
                f"{place}\nprinted other words than the page shows.\n--- page\n{shown}\n--- printed\n{printed}"
            )

    def _execute(self, command: Command, planned: bool) -> tuple[int, str]:
        words = [self._moved(word) for word in command.words]
        with environment(words) as words:
            if not words:
                return 0, ""
            if _SHELL.search(_QUOTED.sub("", _without_comment(command.text))):
                return self._shell(self._moved(command.text))
            if words[0] == "cd":
                os.chdir(os.path.expanduser(words[1]))
                return 0, ""
            if words[:2] == ["python", PRACTICE]:
                self.stand_ins.practise(self.folder)
                return 0, ""
            if words[0] == "tunesmith":
                return self._tunesmith(words[1:], planned)
            return self._shell(shlex.join(words))

    def _tunesmith(self, words: list[str], planned: bool) -> tuple[int, str]:
        words = self._prepared(words, planned)
        from tunesmith.cli.running import run

        def call() -> int:
            sys.stdin = io.StringIO()
            return run(words)

        return captured(call)

    def _prepared(self, words: list[str], planned: bool) -> list[str]:
        """The words of a command with what keeps it short, and what it reads put into its place."""
        name = next((word for word in words if not word.startswith("-")), "")
        trains = name == "train" and "--help" not in words
        written = {number + 1 for number, word in enumerate(words) if word in ("--output", "-o")}
        read = [word for number, word in enumerate(words) if number not in written and "output_dir=" not in word]
        if trains and "resume=true" not in words:
            read = [word for word in read if word.startswith(("model.", "reward."))]
        self.stand_ins.provide(" ".join(read), self.folder)
        if trains and planned:
            return ["plan" if word == "train" else word for word in words]
        if trains and "whole" not in self.marks:
            small = next((small for stage, small in SMALL_OF_STAGE.items() if stage in " ".join(words)), SMALL)
            steps = {"trainer.max_steps": 4} if "resume=true" in words else {}
            stated = {word.partition("=")[0] for word in words}
            words = [*words, *(f"{key}={value}" for key, value in {**small, **steps}.items() if key not in stated)]
        return words

    def _shell(self, line: str) -> tuple[int, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", line],
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        return done.returncode, done.stdout

    def _python(self, block: Block) -> None:
        def call() -> int:
            source = "\n" * block.line + self._moved(block.text)
            exec(compile(source, str(block.page), "exec", dont_inherit=True), self.names)
            return 0

        self.stand_ins.provide(block.text, self.folder)
        with contextlib.ExitStack() as stack:
            if "whole" not in self.marks:
                stack.enter_context(short_training())
            code, printed = captured(call)
        if (code != 0) != ("fails" in block.marks):
            raise Failed(f"{block.place}: python\n{printed[-3000:]}")

    def _configuration(self, block: Block) -> None:
        """A block of YAML without a mark is a configuration, which plans without problems."""
        import tunesmith

        config = yaml.safe_load(block.text) or {}
        config["model"] = {"path": "Qwen/Qwen3-0.6B", **(config.get("model") or {})}
        config.setdefault("data", {}).setdefault("train", [_usual_data(config)])
        self.stand_ins.provide(block.text, self.folder)
        _, problems = tunesmith.plan(config)
        if problems:
            raise Failed(f"{block.place}: yaml\n" + "\n".join(map(str, problems)))

    def _moved(self, text: str) -> str:
        """A text in which the ports of started servers are those that were free."""
        for usual, free in self.ports.items():
            text = re.sub(rf"(?<=:){usual}\b", str(free), text)
        return text

    def _start(self, command: Command, place: str) -> None:
        """Start a server as a process of its own, on a free port, and wait until it answers."""
        words = shlex.split(command.text.rstrip().removesuffix("&"), comments=True)
        name = next((word for word in words[1:] if not word.startswith("-")), "")
        if words[0] != "tunesmith" or name not in PORTS:
            raise Failed(f"{place}\nonly tunesmith {', '.join(PORTS)} are started as servers")
        port = int(words[words.index("--port") + 1]) if "--port" in words else PORTS[name]
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.ports[port] = free = found.getsockname()[1]
        if "--port" in words:
            words[words.index("--port") + 1] = str(free)
        else:
            words += ["--port", str(free)]
        self.stand_ins.provide(command.text, self.folder)
        log = open(self.folder / f"{name}.log", "wb")  # noqa: SIM115  # closed with the server
        server = subprocess.Popen([sys.executable, "-m", *words], stdout=log, stderr=subprocess.STDOUT)
        self.servers.append(server)
        for _ in range(1800):
            if _answers(free):
                return
            if server.poll() is not None:
                break
            time.sleep(0.1)
        raise Failed(f"{place}\ndoes not answer:\n{(self.folder / f'{name}.log').read_text()[-2000:]}")

    def _end_servers(self) -> None:
        for server in self.servers:
            server.send_signal(signal.SIGINT)
        for server in self.servers:
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _answers(port: int) -> bool:
    """Whether a server takes requests; while it loads a model it answers 503."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500  # it has no such route, and can be asked
    except OSError:
        return False


def _without_comment(line: str) -> str:
    return re.sub(r"(^|\s)#.*", "", _QUOTED.sub("", line))


def _usual_data(config: dict[str, Any]) -> str:
    stage = config.get("stage") or "sft"
    name = stage["name"] if isinstance(stage, dict) and "name" in stage else str(stage)
    by_stage = {"pretrain": "corpus.jsonl", "kto": "marked.json", "grpo": "problems.json", "ppo": "problems.json"}
    pairs = ("dpo", "orpo", "simpo", "reward")
    return "pairs.json" if name in pairs else by_stage.get(name, "my.json")
