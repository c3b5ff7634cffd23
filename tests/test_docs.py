"""The documents: their links lead somewhere, their commands exist, every hook is described, the site can be built."""

import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import docs_marks
import pytest
from tunesmith import hookspecs
from tunesmith.catalog import Catalog
from tunesmith.cli.group import BUILT_IN
from tunesmith.kinds import KINDS
from tunesmith.traits import TRAITS

ROOT = Path(__file__).parents[1]
HIDDEN = {".venv", ".git", "site", "dist", "build", "node_modules"}
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part in HIDDEN or part.endswith("_cache") for part in path.relative_to(ROOT).parts)
)
READ = [path for path in DOCUMENTS if path.parent == ROOT or path.is_relative_to(ROOT / "docs")]
LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"^ *```.*?^ *```", re.M | re.S)


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def prose(path: Path) -> str:
    """A document without its blocks and pieces of code."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text_of(path)))


@cache
def anchors(path: Path) -> set[str]:
    """The places of a document that a link may name, as GitHub makes them of headings, or named by itself."""
    headings = re.findall(r"^#+ +(.*?) *$", FENCE.sub("", text_of(path)), re.M)
    named = re.findall(r'^<a id="([^"]+)"></a>$', text_of(path), re.M)
    return {*named, *(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)}


def test_there_are_documents() -> None:
    names = {named(path) for path in DOCUMENTS}
    assert {"README.md", "CONTRIBUTING.md", "docs/index.md", "kernel/README.md"} <= names and len(names) > 80


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_lead_to_something(path: Path) -> None:
    dead = []
    for link in LINK.findall(prose(path)):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        found = target.is_relative_to(ROOT) and target.exists()
        if not found or (parts.fragment and target.suffix == ".md" and parts.fragment not in anchors(target)):
            dead.append(link)
    assert not dead, f"{named(path)} has links to nothing: {', '.join(dead)}"


@cache
def commands() -> set[str]:
    return {*BUILT_IN, "version", *Catalog.discover().names("command")}


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if "tunesmith " in text_of(path)], ids=named)
def test_commands_exist(path: Path) -> None:
    """What follows `tunesmith` where a command line is written: in code, at the beginning of a line or behind a $."""
    code = "\n".join([*FENCE.findall(text_of(path)), *re.findall(r"`([^`\n]+)`", text_of(path))])
    words = re.findall(r"(?:^|\$ |-m |&& )tunesmith (?:(?:-q|--quiet|--debug) )*([a-z_]+)", code, re.M)
    assert set(words) <= commands(), f"{named(path)} has commands that do not exist"


PRESENT = [path for path in DOCUMENTS if path.name != "CHANGELOG.md"]  # which tells of targets that there were


@pytest.mark.parametrize("path", PRESENT, ids=named)
def test_targets_of_make_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    code = "\n".join([*FENCE.findall(text_of(path)), *re.findall(r"`([^`\n]+)`", text_of(path))])
    assert set(re.findall(r"^make ([a-z-]+)", code, re.M)) <= targets


def test_every_hook_is_described() -> None:
    page = text_of(ROOT / "docs/hooks.md")
    headings = re.findall(r"^### `(\w+)\(", page, re.M)
    hooks = [name for name, hook in vars(hookspecs).items() if hasattr(hook, "tunesmith_spec")]
    assert sorted(headings) == sorted(hooks)


def test_every_kind_is_in_the_guide_and_every_trait_among_the_types() -> None:
    guide, types = text_of(ROOT / "docs/plugins.md"), text_of(ROOT / "docs/types.md")
    assert set(re.findall(r"^\| `(\w+)` \| \[", guide, re.M)) == set(KINDS)
    for cls in TRAITS.values():
        entry = types.partition(f"\n### {cls.__name__}\n")[2].partition("\n### ")[0]
        assert set(re.findall(r"^\| `(\w+)` \|", entry, re.M)) == set(cls.__dataclass_fields__), cls.__name__


def test_every_library_is_in_the_architecture() -> None:
    page = text_of(ROOT / "docs/architecture.md")
    described = set(re.findall(r"^\| `(\w+)` \| [^|]+\| [^|]+ \|$", page, re.M))
    assert {folder.name for folder in (ROOT / "plugins/library").iterdir()} <= described


def test_examples_of_the_guide_are_python() -> None:
    for indent, block in re.findall(r"^( *)```python\n(.*?)^\1```", text_of(ROOT / "docs/plugins.md"), re.M | re.S):
        compile(re.sub(rf"(?m)^{indent}", "", block), "docs/plugins.md", "exec")


@pytest.mark.slow
def test_the_site_can_be_built(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.parent.relative_to(tmp_path / "site").as_posix() for path in tmp_path.glob("site/**/index.html")}
    assert {"hooks", "architecture", "contributing", "plugins/adapter/lora", "api/types", "zh/howto"} <= pages
    assert not {"zh/hooks", "zh/plugins/adapter/lora"} & pages, "what is for authors is there in English alone"
    switch = 'href="{}" hreflang="zh" class="md-select__link"'
    for page, leads in {"hooks": "../zh/", "howto": "../zh/howto/"}.items():
        assert switch.format(leads) in (tmp_path / f"site/{page}/index.html").read_text(encoding="utf-8")
    chinese = (tmp_path / "site/zh/howto/index.html").read_text(encoding="utf-8").partition("<article")[2]
    assert "；" in chinese and not re.search("[，；。]\n", re.sub("(?s)<pre.*?</pre>", "", chinese))
    assert "<!--" not in (tmp_path / "site/stages/index.html").read_text(encoding="utf-8").partition("<article")[2]
    found = json.loads((tmp_path / "site/search/search_index.json").read_text(encoding="utf-8"))
    assert {"en", "zh"} <= set(found["config"]["lang"])
    places = {entry["location"].partition("#")[0] for entry in found["docs"]}
    assert {"howto/", "plugins/adapter/lora/"} <= places and not any(place.startswith("zh/") for place in places)
    assert all((entry["boost"] < 0.01) == entry["location"].startswith("api/") for entry in found["docs"])
    chinese_index = json.loads((tmp_path / "site/zh/search/search_index.json").read_text(encoding="utf-8"))
    places = {entry["location"].partition("#")[0] for entry in chinese_index["docs"]}
    assert {"howto/", "guides/out_of_memory/"} <= places and "hooks/" not in places
    for page, base in {"howto": "..", "zh/howto": "..", "zh/guides/out_of_memory": "../..", "zh": "."}.items():
        assert f'"base": "{base}"' in (tmp_path / f"site/{page}/index.html").read_text(encoding="utf-8"), page
    listed = (tmp_path / "site/llms.txt").read_text(encoding="utf-8")
    assert listed.startswith("# Tunesmith\n\n> ") and "](stages/): " in listed and "\n## Optional\n" in listed
    assert "# Stages" in (tmp_path / "site/llms-full.txt").read_text(encoding="utf-8")
    text = (tmp_path / "site/api/tunesmith_library_configuration/index.html").read_text(encoding="utf-8")
    assert "and everything above it" in text, "the API shows docstrings"
    shutil.rmtree(tmp_path / "site")


def test_the_form_of_the_pages() -> None:
    """Every block is executed by `test_docs_run.py`, or its mark says why not; what shows a file is equal to it."""
    assert [problem for page in READ for problem in docs_marks.problems(page)] == []
    others = [path for path in DOCUMENTS if path not in READ]
    assert [block.place for path in others for block in docs_marks.blocks(path) if not block.language] == []
