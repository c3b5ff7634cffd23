"""The site: the pages in docs/, READMEs of all plugins, the documents of the root, the API, and links among them.

A hook of mkdocs. All pages are put into one folder, from which `mkdocs-static-i18n` builds the site in English, and in
Chinese what a user reads; a page that has no translation yet is the English one. A link that leads to a file of the
repository leads to its page, where it has one, and otherwise to the file on GitHub; `mkdocs build --strict` fails where
there is nothing.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor
from mkdocs.plugins import event_priority
from mkdocs.structure.files import Files

sys.path.insert(0, str(Path(__file__).resolve().parent))
from llms import without_comments, write_llms
from translations import chinese_of, user_pages

ROOT = Path(__file__).resolve().parents[2]
_FILE_ON_GITHUB, _FOLDER_ON_GITHUB = "blob/main", "tree/main"
_ROW = re.compile(r"^\|.*$", re.M)
_CHINESE_BREAK = re.compile(r"(<pre.*?</pre>)|(?<=[\u2014-\u201d\u3000-\u9fff\uff00-\uffef])\n *(?=\S)", re.S)
# The theme cuts a query into words of the index, which Chinese needs, and never looks at its last character.
_CUT_SHORT = re.compile(r"(let (\w)=\w\+1;\2<)=?(?=\w\.length;\2\+\+\)\w\.slice\()")
_BASE = re.compile(r'"base": "((?:\.\./)*)\.\."')  # the way to the site's beginning, as its script is told
_FOLDERS = {"Tasks": "tasks", "When it goes wrong, and choices": "guides", "Kinds of plugins": "kinds"}
_TITLES = {
    "Use": "使用",
    "Tasks": "任务",
    "When it goes wrong, and choices": "选择与排错",
    "Extend": "扩展",
    "Project": "项目",
}
_ITEM = re.compile(r"^ *([-*]|\d+\.) ")
_LINK = re.compile(r"(?<=\]\()([^)\s#]+)(?=[)#])")
_DOCUMENTS = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "SECURITY.md": "security.md"}

# What authors of plugins call, by module; hooks have a page of their own.
_KERNEL = (
    *("pipeline", "options", "traits", "planning", "types", "generation"),
    *("errors", "messages", "files", "keys", "catalog"),
)


def _readmes() -> dict[str, str]:
    """The pages of plugins: repository path of each README -> path in the site."""
    found = sorted([*ROOT.glob("plugins/*/*/README.md"), *ROOT.glob("contrib/*/README.md")])
    paths = [file.relative_to(ROOT) for file in found]
    return {path.as_posix(): f"{path.parent.as_posix()}.md" for path in paths}


def _pages() -> dict[str, str]:
    """Repository path -> path in the site, of every Markdown file that has a page."""
    own = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("**/*.md")}
    return {**{path: path.removeprefix("docs/") for path in sorted(own)}, **_DOCUMENTS, **_readmes()}


def _chinese() -> list[str]:
    """The pages of the site that are there in Chinese, by their English names."""
    found = [page.relative_to(ROOT).as_posix().removeprefix("docs/") for page in user_pages()]
    return [page for page in found if page != "README.md"]


def _api() -> dict[str, str]:
    """The pages of the API: path in the site -> text."""
    pages = {
        f"api/{name}.md": f"# tunesmith.{name}\n\n::: tunesmith.{name}\n    options:\n      show_root_heading: false\n"
        for name in _KERNEL
    }
    for folder in sorted((ROOT / "plugins/library").iterdir()):
        package = folder / f"tunesmith_library_{folder.name}"
        modules = [package.name, *(f"{package.name}.{file.stem}" for file in sorted(package.glob("[a-z]*.py")))]
        text = f"# {package.name}\n\n" + "".join(f"::: {module}\n\n" for module in modules)
        pages[f"api/{package.name}.md"] = text
    return pages


class Lists(Extension):
    """Lists as GitHub reads them: right below a paragraph, and indented by two, where this parser wants four."""

    def extendMarkdown(self, md: Markdown) -> None:
        md.preprocessors.register(_Indentation(md), "lists_of_two", 20)  # after fenced code is out of the way


class _Indentation(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        made: list[str] = []
        inside = False
        for line in lines:
            item = _ITEM.match(line) is not None
            if item and not inside and made and made[-1].strip():
                made.append("")
            inside = item or (inside and (not line.strip() or line.startswith(" ")))
            indentation = len(line) - len(line.lstrip(" ")) if inside else 0
            made.append(" " * indentation + line)
        return made


_staged: dict[str, Any] = {}  # the folder of all pages, filled once for the builds of both languages


def on_config(config: Any) -> Any:
    """Put all pages into one folder, and the generated ones into the navigation; mkdocs calls it for each language."""
    if not _staged:
        folder = tempfile.TemporaryDirectory(prefix="tunesmith-site-")
        _staged["folder"] = folder
        _stage(Path(folder.name))
        config.docs_dir = folder.name
        config.markdown_extensions.append(Lists())
        folders = {title: _of_folder(name) for title, name in _FOLDERS.items()}
        config.nav = [_filled(entry, folders) for entry in config.nav]
        config.plugins["i18n"].get_language_config("zh").nav = [
            kept for entry in config.nav if (kept := _in_chinese(entry, set(_chinese())))
        ]
        by_kind: dict[str, list[str]] = {}
        for source, page in _readmes().items():
            by_kind.setdefault(Path(source).parts[-3] if source.startswith("plugins/") else "contrib", []).append(page)
        config.nav += [{"Plugins": [{kind: pages} for kind, pages in by_kind.items()]}, {"API": list(_api())}]
    return config


def _stage(folder: Path) -> None:
    """Link every page, and what lies beside it, into a folder, and write those that have no file."""
    files = [path for path in (ROOT / "docs").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    links = {path.relative_to(ROOT / "docs").as_posix(): path for path in files}
    links |= {page: ROOT / source for source, page in {**_DOCUMENTS, **_readmes()}.items()}
    for page, source in links.items():
        (folder / page).parent.mkdir(parents=True, exist_ok=True)
        (folder / page).symlink_to(source)
    for page, text in _api().items():
        (folder / page).parent.mkdir(parents=True, exist_ok=True)
        (folder / page).write_text(text, encoding="utf-8")


def _of_folder(name: str) -> list[str]:
    """The English pages of a folder of docs/, its index first."""
    pages = [f"{name}/{path.name}" for path in sorted((ROOT / "docs" / name).glob("*.md"))]
    return sorted((page for page in pages if not page.endswith(".zh.md")), key=lambda page: "/index." not in page)


def _filled(entry: Any, folders: dict[str, list[str]]) -> Any:
    """An entry of the navigation in which a folder's name, `tasks/`, stands for its pages."""
    ((title, value),) = entry.items()
    if isinstance(value, str):
        return {title: folders.get(title, value)}
    return {title: [_filled(inner, folders) if isinstance(inner, dict) else inner for inner in value]}


def _in_chinese(entry: Any, pages: set[str]) -> Any:
    """An entry with the pages that there are in Chinese, under their own titles; None where there are none."""
    if isinstance(entry, str):
        return entry if entry in pages else None
    ((title, value),) = entry.items()
    if isinstance(value, str):
        return value if value in pages else None
    kept = [inner for inner in (_in_chinese(inner, pages) for inner in value) if inner]
    return {_TITLES.get(title, title): kept} if kept else None


def on_files(files: Files, config: Any) -> Files:
    """Leave out of the Chinese site what is for authors, and out of both the files that its pages do not show."""
    if config.plugins["i18n"].current_language == "zh":
        pages = {*_chinese(), *(chinese_of(Path(page)).as_posix() for page in _chinese())}
        for file in [file for file in files if file.is_documentation_page() and file.src_uri not in pages]:
            files.remove(file)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links to files of the repository into links that hold in the site; marks for tests are left out."""
    if page.file.src_uri.startswith(("api/", "plugins/")):
        page.meta["search"] = {"boost": 0.5}  # below the pages that explain
    pages = _pages()
    own = next((source for source, found in pages.items() if found == page.file.src_uri), None)
    if own is None:
        return markdown
    is_chinese = config.plugins["i18n"].current_language == "zh"
    there = {file.src_uri for file in files.documentation_pages()} if is_chinese else set()

    def replaced(link: re.Match[str]) -> str:
        if urlsplit(link[1]).scheme:
            return link[1]
        target = os.path.normpath(ROOT / Path(own).parent / link[1])
        path = os.path.relpath(target, ROOT)
        for name in (path, f"{path}/README.md"):
            if name in pages:
                english = re.sub(r"\.zh\.md$", ".md", pages[name])
                if is_chinese and not {english, chinese_of(Path(english)).as_posix()} & there:
                    return f"english:{english.removesuffix('.md').removesuffix('index')}/"
                return os.path.relpath(english, Path(page.file.src_uri).parent)
        if not os.path.exists(target) or (path.startswith("docs/") and os.path.isfile(target) and path[-3:] != ".py"):
            return link[1]
        return f"{config.repo_url}/{_FOLDER_ON_GITHUB if os.path.isdir(target) else _FILE_ON_GITHUB}/{path}"

    return _ROW.sub(_bare_pipes, _LINK.sub(replaced, without_comments(markdown)))


def _bare_pipes(row: re.Match[str]) -> str:
    """A row of a table whose code has `|` where GitHub needs a backslash before it, which this parser would show."""
    return re.sub(r"`[^`\n]*`", lambda code: code[0].replace("\\|", "|"), row[0])


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Of a Chinese page: lead to the English site, where only that has a page, and show no blank for a line break."""
    above = "../" * page.url.rstrip("/").count("/") + "../"
    html = html.replace('href="english:', f'href="{above}')
    is_chinese = config.plugins["i18n"].current_language == "zh"
    return _CHINESE_BREAK.sub(lambda found: found[1] or "", html) if is_chinese else html


@event_priority(-200)
def on_page_context(context: Any, page: Any, config: Any, nav: Any) -> Any:
    """Make the links of the switch of languages relative; where there is no such page in Chinese, to its beginning."""
    has_chinese = re.sub(r"\.zh\.md$", ".md", page.file.src_uri) in _chinese()
    for alternate in getattr(config.extra, "alternate", []):  # an attribute beside the entry, as i18n sets it
        link = alternate["link"].lstrip("/") or "./"
        alternate["link"] = link if has_chinese or alternate["lang"] == "en" else "zh/"
    return context


def on_env(env: Any, config: Any, files: Files) -> None:
    """Write what language models read: `llms.txt` and `llms-full.txt`, in English."""
    if config.plugins["i18n"].current_language == "en":
        site = Path(config.site_dir)
        site.mkdir(parents=True, exist_ok=True)
        write_llms(config.nav, Path(config.docs_dir), site, config.site_description)


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Let the search of a Chinese page look beside the Chinese pages, where `on_post_build` puts an index of them."""
    if config.plugins["i18n"].current_language != "zh":
        return output
    return _BASE.sub(lambda found: f'"base": "{found[1].rstrip("/") or "."}"', output, count=1)


@event_priority(-200)  # behind the one that puts the pages of all languages into one index
def on_post_build(config: Any) -> None:
    """Mend the search, and divide it by language."""
    site = Path(config.site_dir)
    for worker in site.glob("assets/javascripts/workers/search.*.js"):
        mended, found = _CUT_SHORT.subn(r"\1=", worker.read_text(encoding="utf-8"))
        if not found:
            logging.getLogger("mkdocs.hooks.pages").warning("the theme's search is another one: does it find 过拟合?")
        worker.write_text(mended, encoding="utf-8")
    _divide(site / "search/search_index.json", site / "zh/search/search_index.json")


# of folders in the search: titles count a thousand times as much as texts, and each of the thousands of names is one
_WEIGHTS = {"api/": 0.001, "changelog/": 0.1, "decisions/": 0.1}


def _divide(index: Path, chinese: Path) -> None:
    """Take the Chinese pages out of an index of the search, into one of their own; names in code come last."""
    found = json.loads(index.read_text(encoding="utf-8"))
    divided: dict[Path, list[Any]] = {index: [], chinese: []}
    for entry in found["docs"]:
        location = entry["location"].removeprefix("zh/")
        weight = next((weight for folder, weight in _WEIGHTS.items() if location.startswith(folder)), 1.0)
        entries = divided[index if location == entry["location"] else chinese]
        entries.append({**entry, "location": location, "boost": entry.get("boost", 1.0) * weight})
    chinese.parent.mkdir(parents=True, exist_ok=True)
    for file, entries in divided.items():
        text = json.dumps({**found, "docs": entries}, ensure_ascii=False, separators=(",", ":"))
        file.write_text(text, encoding="utf-8")
