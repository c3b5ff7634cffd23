"""The tutorial shows a whole plugin, and a short one; `test_docs.py` and `test_docs_run.py` look at its blocks."""

import re
from pathlib import Path

from tunesmith_library_testing.scaffold import create

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
PLUGIN = ROOT / "contrib/quantizer-absmax"
BLOCKS = re.findall(r"(?:<!-- file: (\S+) -->\n)?^```(\w+)\n(.*?)^```$", TUTORIAL, flags=re.M | re.S)
COMMANDS = [line for _, language, text in BLOCKS if language == "bash" for line in text.splitlines()]


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


def test_the_plugin_is_short() -> None:
    """Less than forty-five lines of code: what is neither blank, comment, docstring nor import."""
    source = "".join(path.read_text(encoding="utf-8") for path in PLUGIN.glob("tunesmith_*/*.py"))
    source = re.sub(r'""".*?"""', "", source, flags=re.S)
    lines = [line.strip() for line in source.splitlines()]
    code = [line for line in lines if line and not line.startswith(("#", "import ", "from "))]
    assert len(code) < 45, len(code)
