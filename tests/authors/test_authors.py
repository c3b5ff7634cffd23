"""The pages of the kinds: the examples stand there as they are tested, and every case of a suite is explained."""

import importlib
import re
from functools import cache
from pathlib import Path

import pytest
from tunesmith.kinds import EXCLUSIVE, KINDS, ROUTED
from tunesmith_library_testing.suites.plugin import PluginSuite

HERE = Path(__file__).parent
PAGES = HERE.parents[1] / "docs/kinds"
# lines that an example may have, the blank ones aside; of other kinds, as few as it takes
BOUNDS = {
    "template": 30,
    "loss": 20,
    "optimizer": 40,
    "tracker": 25,
    "reward": 20,
    "format": 30,
    "exporter": 40,
    "evaluator": 30,
    "engine": 80,
}
EXAMPLES = {path.stem.partition("_")[0]: path for path in HERE.glob("*_*.py") if not path.stem.startswith("test_")}


@cache
def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def cases(name: str) -> set[str]:
    """The cases that a page has rows for."""
    return set(re.findall(r"^\| `(test_\w+)` \|", page(name), re.M))


def cases_of(suite: type) -> set[str]:
    return {name for name in dir(suite) if name.startswith("test_")}


def suite_of(kind: str) -> type:
    found: type = getattr(importlib.import_module("tunesmith_library_testing"), f"{kind.capitalize()}Suite")
    return found


def lines_of(path: Path) -> int:
    return sum(bool(line.strip()) for line in path.read_text(encoding="utf-8").splitlines())


def test_each_kind_has_an_example_and_a_page() -> None:
    assert EXAMPLES.keys() == KINDS.keys()
    assert {path.stem for path in PAGES.glob("*.md") if "." not in path.stem} == {*KINDS, "index"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_shows_the_example(kind: str) -> None:
    assert f"```python\n{EXAMPLES[kind].read_text(encoding='utf-8')}```" in page(kind)


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_the_plugin_of_the_readme_is_the_tested_one(name: str) -> None:
    text = (HERE.parents[1] / name).read_text(encoding="utf-8")
    assert f"```python\n{EXAMPLES['template'].read_text(encoding='utf-8')}```" in text


@pytest.mark.parametrize("kind", KINDS)
def test_every_case_is_explained(kind: str) -> None:
    assert cases(kind) == cases_of(suite_of(kind)) - cases_of(PluginSuite)


def test_the_cases_of_every_plugin_are_explained() -> None:
    assert cases("index") == cases_of(PluginSuite)


def test_the_table_of_kinds() -> None:
    """Kind, page, lines of the example, bound, hooks: as they are."""
    hooks = {kind: [hook for hook, kinds in EXCLUSIVE.items() if kind in kinds] for kind in KINDS}
    for hook, kind in ROUTED.items():
        hooks[kind].append(hook)
    for kind, summary in ((name, it.summary) for name, it in KINDS.items()):
        count, most = lines_of(EXAMPLES[kind]), BOUNDS.get(kind)
        assert most is None or count <= most, f"{EXAMPLES[kind].name} has {count} lines, {most} at most"
        written = ", ".join(f"`{hook}`" for hook in hooks[kind])
        name = EXAMPLES[kind].stem.partition("_")[2]
        lines = f"{count} of {most}" if most else f"{count}"
        row = rf"| [{kind}]({kind}.md) | {summary} | {written} | `{name}` | {lines} |"
        assert row in page("index"), f"docs/kinds/index.md needs the line\n{row}"
