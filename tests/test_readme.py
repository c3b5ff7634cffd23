"""What the README shows is true: its plugin runs, its files and commands exist; `test_docs_run.py` does the rest."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READMES = ("README.md", "README.zh.md")


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.S)


def test_the_plugin_works() -> None:
    from tunesmith.options import is_plugin

    (source,) = blocks("README.md", "python")
    assert len(source.splitlines()) <= 30
    namespace: dict = {}
    exec(compile(source, "README.md", "exec", dont_inherit=True), namespace)
    assert is_plugin(namespace["Radio"])
    template = namespace["Radio"](call_sign="BRAVO").chat_template()
    rendered = template.render([{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}])
    assert rendered.text == "BRAVO: Hello OVER\nBASE: Hi OVER\n"
    assert [rendered.text[span.start : span.end] for span in rendered.spans] == ["Hi OVER"]
    prompt = template.render([{"role": "user", "content": "Hello"}], add_generation_prompt=True).text
    assert rendered.text.startswith(prompt)


@pytest.mark.parametrize("name", READMES)
def test_links_and_folders_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    paths = [*links, *re.findall(r"^\| `([a-z]+)/", text, re.M), *re.findall(r"\b(?:conf|contrib)/[\w/.]+\.\w+", text)]
    assert len(paths) > 10
    assert [path for path in paths if "://" not in path and not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", READMES)
def test_commands_exist(name: str) -> None:
    from tunesmith.catalog import Catalog
    from tunesmith.cli.group import BUILT_IN

    text = (ROOT / name).read_text(encoding="utf-8")
    commands = set(re.findall(r"(?:^|\$ |`)tunesmith (?:--quiet )?(\w+)", text, re.M))
    assert commands >= {"train", "chat", "export", "plan", "config", "data", "plugins", "new"}
    assert commands <= {*BUILT_IN, *Catalog.discover().names("command")}
    targets = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.M))
    assert targets <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
