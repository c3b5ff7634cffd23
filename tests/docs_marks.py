"""The blocks of a page and the marks above them, which say what a test does with each; CONTRIBUTING.md lists them."""

import json
import re
import shlex
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
LANGUAGES = ("bash", "console", "python", "yaml", "json", "jsonl", "toml", "text", "mermaid")
MARKS = ("file", "part of", "fragment", "fails", "plan", "not run")
PAGE_MARKS = ("whole", "plan", "not run")
PASSED_OVER = {
    **dict.fromkeys(("pip install", "uv pip", "uv venv", "python -m pip", "source"), "the tests have an environment"),
    "git clone": "the tests are in a clone",
    "make": "CI runs the targets that test and check",
    "python -m pytest": "these tests are run elsewhere",
    "python -m build": "test_wheels.py builds the distributions",
    "python -m twine": "nothing is published by a test",
}
"""What a session does not execute wherever it stands, and why; all else has a mark."""

_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<language>[^\s`]*)[^`]*$")
_COMMENT = re.compile(r"^\s*<!--\s*(.*?)\s*-->\s*$")
_PAGE_MARK = re.compile(r"^<!--\s*page:\s*([^:]*?)\s*(?::\s*(.*?)\s*)?-->\s*$", re.M)
# what `make generate` writes into every pyproject.toml of the repository, which a package elsewhere does not need
_COPIED = re.compile(r"^(license-files|authors|classifiers|urls) = .*\n", re.M)
_COMMAND = re.compile(r"^(\$ |tunesmith (train|chat|export|plan|eval|config|data|plugins|api|webui)\b)", re.M)


@dataclass
class Block:
    """A fenced block of a page."""

    page: Path
    line: int  # of the opening fence, from 1
    language: str
    text: str
    marks: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        page = self.page.relative_to(ROOT) if self.page.is_relative_to(ROOT) else self.page
        return f"{page.as_posix()}:{self.line}"


def _marks(comment: str) -> dict[str, str]:
    """What a comment such as `file: a.yaml; fails` says; the reason of `not run` may have any character."""
    before, stated, reason = comment.partition("not run")
    pairs = (part.partition(":") for part in before.split(";") if part.strip())
    marks = {name.strip(): value.strip() for name, _, value in pairs}
    return marks | ({"not run": reason.lstrip(" :").strip()} if stated else {})


@cache
def blocks(page: Path) -> tuple[Block, ...]:
    """All fenced blocks of a page, in order, without their indentation."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found, number = [], 0
    while number < len(lines):
        fence = _FENCE.match(lines[number])
        if not fence:
            number += 1
            continue
        above = _COMMENT.match(lines[number - 1]) if number else None
        marks = _marks(above[1]) if above and not above[1].startswith(("page:", "/", "of:")) else {}
        indent, end = len(fence["indent"]), number + 1
        while end < len(lines) and lines[end].strip() != fence["ticks"]:
            end += 1
        inside = [line[min(indent, len(line) - len(line.lstrip())) :] for line in lines[number + 1 : end]]
        text = "\n".join(inside) + "\n"
        found.append(Block(page, number + 1, fence["language"], text, marks))
        number = end + 1
    return tuple(found)


def page_marks(page: Path) -> dict[str, str]:
    """What `<!-- page: … -->` says of all blocks of a page."""
    return {name: reason or "" for name, reason in _PAGE_MARK.findall(page.read_text(encoding="utf-8"))}


def runs(page: Path) -> list[Block]:
    """The blocks of a page that a session executes."""
    if "not run" in page_marks(page):
        return [block for block in blocks(page) if block.marks and "not run" not in block.marks]
    return [block for block in blocks(page) if "not run" not in block.marks]


def problems(page: Path) -> list[str]:
    """What is wrong with the form of a page's blocks: each is executed, or says why not."""
    said = page_marks(page)
    name = page.relative_to(ROOT).as_posix()
    found = [f"{name}: no mark of a page is called {mark}; possible: {PAGE_MARKS}" for mark in {*said} - {*PAGE_MARKS}]
    if "not run" in said and len(said["not run"]) < 10:
        found.append(f"{name}: say why the page is not run")
    for number in _outside(page):
        found.append(f"{name}:{number}: a command without a fence, which nothing runs")
    for block in blocks(page):
        found += [f"{block.place}: {problem}" for problem in _problems_of(block, excused="not run" in said)]
    return found


def _outside(page: Path) -> list[int]:
    """The lines of a page that have indented commands outside of its blocks."""
    lines = page.read_text(encoding="utf-8").splitlines()
    inside = {n for block in blocks(page) for n in range(block.line, block.line + len(block.text.splitlines()) + 2)}
    return [n for n, line in enumerate(lines, 1) if n not in inside and re.match(r" {4,}(tunesmith|pip) \w", line)]


def _problems_of(block: Block, excused: bool) -> list[str]:
    found = [f"no mark is called {mark!r}; possible: {', '.join(MARKS)}" for mark in {*block.marks} - {*MARKS}]
    free = "not run" in block.marks or "fragment" in block.marks or (excused and not block.marks)
    if not block.language or (block.language not in LANGUAGES and not free):
        found.append(f"language {block.language or 'missing'}; possible: {', '.join(LANGUAGES)}, others as fragment")
    if "not run" in block.marks and len(block.marks["not run"]) < 10:
        found.append("say why it is not run")
    if block.language == "text" and not free and "file" not in block.marks and _COMMAND.search(block.text):
        found.append("commands in a text block, which nothing runs: make it bash or console")
    if "fragment" in block.marks or not free:
        found += _syntax(block)
    return found + _differs(block)


def _syntax(block: Block) -> list[str]:
    try:
        if block.language == "python":
            compile(block.text, block.place, "exec", dont_inherit=True)
        elif block.language == "yaml":
            list(yaml.compose_all(block.text))
        elif block.language == "json":
            json.loads(block.text)
        elif block.language == "jsonl":
            [json.loads(line) for line in block.text.splitlines() if line.strip()]
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language in ("bash", "console"):
            commands(block)
    except (SyntaxError, ValueError, yaml.YAMLError) as error:
        return [f"not {block.language}: {error}"]
    return []


def _differs(block: Block) -> list[str]:
    """A block that shows a file of the repository is equal to it, or a part of it."""
    for mark in ("file", "part of"):
        path = ROOT / block.marks.get(mark, "")
        if mark in block.marks and path.is_file():
            kept, shown = _COPIED.sub("", path.read_text(encoding="utf-8")), block.text
            if not (shown.strip("\n") in kept if mark == "part of" else shown.strip("\n") == kept.strip("\n")):
                return [f"differs from {block.marks[mark]}"]
        elif mark == "part of" and mark in block.marks:
            return [f"there is no file {block.marks[mark]}"]
    return []


@dataclass
class Command:
    """One command line of a block, and the lines of a `console` block that it should print."""

    line: int
    text: str
    words: list[str]
    shown: list[str] = field(default_factory=list)


def passed_over(words: list[str]) -> bool:
    """Whether a command, or what follows its assignments, is one that no session executes."""
    stated = " ".join(words[next((n for n, word in enumerate(words) if "=" not in word), 0) :])
    return any(stated == start or stated.startswith(f"{start} ") for start in PASSED_OVER)


def commands(block: Block) -> list[Command]:
    """The commands of a `bash` or `console` block.

    Raises: ValueError for quotes that are not closed, or output before the first command.
    """
    found: list[Command] = []
    lines, number = block.text.splitlines(), 0
    while number < len(lines):
        line, start = lines[number], number
        number += 1
        if block.language == "console":
            if not line.startswith("$ "):
                if not found:
                    raise ValueError("a console block begins with a line `$ COMMAND`")
                found[-1].shown.append(line)
                continue
            line = line[2:]
        while line.endswith("\\") and number < len(lines):
            line = f"{line[:-1]} {lines[number].removeprefix('> ').strip()}"
            number += 1
        words = _words(line)
        while words is None and number < len(lines):  # a text in quotes may have several lines
            line, number = f"{line}\n{lines[number]}", number + 1
            words = _words(line)
        if words is None:
            raise ValueError(f"quotes that are not closed: {line}")
        if words and not passed_over(words):
            found.append(Command(block.line + 1 + start, line, words))
    return found


def _words(line: str) -> list[str] | None:
    """The words of a command line; None where quotes are not closed."""
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return None


def matches(shown: list[str], printed: str) -> bool:
    """Whether output has the words that a page shows: numbers may differ, and `…` is anything."""
    chunks: list[list[str]] = [[]]
    for line in shown:
        if line.strip() == "…":
            chunks.append([])
        elif line.strip():
            chunks[-1].append(_as_pattern(line))
    first, *further = [r"\s+".join(chunk) for chunk in chunks]
    pattern = first
    for chunk in further:
        pattern += (r"(?:^|.*?\s)" if not pattern else r"\s(?:.*?\s)?") + chunk if chunk else r"(?:\s.*)?"
    return re.fullmatch(pattern, printed.strip(), re.S) is not None


def _as_pattern(line: str) -> str:
    made = []
    for word in line.split():
        parts = [_NUMBER.sub("\0", part) for part in word.split("…")]
        made.append(r".*?".join(re.escape(part).replace("\0", _NUMBER.pattern) for part in parts))
    return r"\s+".join(made)
