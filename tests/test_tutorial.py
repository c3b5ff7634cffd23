"""The tutorial shows the files that are checked in, and commands that exist."""

import re
import shlex
from pathlib import Path

import click
import pytest
from tunesmith.cli import cli
from tunesmith.kinds import KINDS
from tunesmith_library_testing.scaffold import create

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
PLUGIN = ROOT / "contrib/quantizer-absmax"
BLOCKS = re.findall(r"(?:<!-- file: (\S+) -->\n)?^```(\w+)\n(.*?)^```$", TUTORIAL, flags=re.M | re.S)
# what `make generate` writes into every pyproject.toml of the repository, which a package elsewhere does not need
COPIED = re.compile(r"^(license-files|authors|classifiers|urls) = .*\n", re.M)
COMMANDS = [line for _, language, text in BLOCKS if language == "bash" for line in text.splitlines()]


def test_every_file_is_the_one_checked_in() -> None:
    for file, language, text in BLOCKS:
        if language in ("python", "toml"):
            assert file, f"this block names no file:\n{text[:200]}"
            checked_in = (ROOT / file).read_text(encoding="utf-8")
            checked_in = COPIED.sub("", checked_in) if language == "toml" else checked_in
            assert text == checked_in, f"{file} differs from what the tutorial shows"


def test_the_whole_plugin_is_shown() -> None:
    shown = {file for file, _, _ in BLOCKS if file}
    sources = {path.relative_to(ROOT).as_posix() for path in PLUGIN.rglob("*.py")}
    assert sources | {"contrib/quantizer-absmax/pyproject.toml"} == shown


def test_create_gives_these_files(tmp_path: Path) -> None:
    assert "tunesmith new quantizer absmax" in COMMANDS and "cd quantizer-absmax" in COMMANDS
    project = create("quantizer", "absmax", tmp_path)
    assert project.name == "quantizer-absmax"
    written = {path.relative_to(project) for path in project.rglob("*") if path.is_file()}
    assert written == {
        path.relative_to(PLUGIN)
        for path in PLUGIN.rglob("*")
        if path.suffix in (".py", ".toml", ".md", ".typed") or path.name == "LICENSE"
    }


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("tunesmith ")])
def test_commands_exist(line: str) -> None:
    words = shlex.split(line)[1:]
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None
    assert {word.partition("=")[0].partition(".")[0] for word in words if "=" in word} <= set(KINDS)
    assert all((ROOT / word).is_file() for word in words if word.endswith(".yaml"))


def test_the_plugin_is_short() -> None:
    """Less than forty-five lines of code: what is neither blank, comment, docstring nor import."""
    source = "".join(path.read_text(encoding="utf-8") for path in PLUGIN.glob("tunesmith_*/*.py"))
    source = re.sub(r'""".*?"""', "", source, flags=re.S)
    lines = [line.strip() for line in source.splitlines()]
    code = [line for line in lines if line and not line.startswith(("#", "import ", "from "))]
    assert len(code) < 45, len(code)
