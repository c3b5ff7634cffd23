"""The site beside the pages in docs/: READMEs of all plugins, the documents of the root, the API, and links among them.

A hook of mkdocs. A link that leads to a file of the repository leads to its page, where it has one, and otherwise to
the file on GitHub; `mkdocs build --strict` fails where there is nothing.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
_FILE_ON_GITHUB, _FOLDER_ON_GITHUB = "blob/main", "tree/main"
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
    own = {f"docs/{path.name}": path.name for path in (ROOT / "docs").glob("*.md")}
    return {**own, **_DOCUMENTS, **_readmes()}


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


def on_config(config: Any) -> Any:
    """Put the generated pages into the navigation."""
    config.markdown_extensions.append(Lists())
    by_kind: dict[str, list[str]] = {}
    for source, page in _readmes().items():
        by_kind.setdefault(Path(source).parts[-3] if source.startswith("plugins/") else "contrib", []).append(page)
    config.nav += [{"Plugins": [{kind: pages} for kind, pages in by_kind.items()]}, {"API": list(_api())}]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that have no file in docs/."""
    for source, page in {**_DOCUMENTS, **_readmes()}.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    for page, text in _api().items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links to files of the repository into links that hold in the site."""
    pages = _pages()
    own = next((source for source, found in pages.items() if found == page.file.src_uri), None)
    if own is None:
        return markdown

    def replaced(link: re.Match[str]) -> str:
        if urlsplit(link[1]).scheme:
            return link[1]
        target = os.path.normpath(ROOT / Path(own).parent / link[1])
        path = os.path.relpath(target, ROOT)
        for name in (path, f"{path}/README.md"):
            if name in pages:
                return os.path.relpath(pages[name], Path(page.file.src_uri).parent)
        if path.startswith("docs/") or not os.path.exists(target):
            return link[1]
        return f"{config.repo_url}/{_FOLDER_ON_GITHUB if os.path.isdir(target) else _FILE_ON_GITHUB}/{path}"

    return _LINK.sub(replaced, markdown)
