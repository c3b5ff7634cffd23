"""What the README shows is true: its plugin runs, its files and commands exist, and the Chinese one says the same."""

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


def test_the_configuration_is_valid(tmp_path: Path, tiny_llama: Path) -> None:
    from tunesmith.pipeline import plan

    (text,) = blocks("README.md", "yaml")
    (tmp_path / "my.json").write_text('[{"instruction": "a", "output": "b"}]')
    (tmp_path / "my.yaml").write_text(
        text.replace("Qwen/Qwen3-0.6B", str(tiny_llama)).replace("my.json", str(tmp_path / "my.json"))
    )
    _, problems = plan(tmp_path / "my.yaml", {"output_dir": str(tmp_path / "out")})
    assert problems == []


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


@pytest.mark.parametrize("number", range(len(blocks("docs/howto.md", "yaml"))))
def test_the_how_to_is_right(number: int, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each configuration of docs/howto.md, with files of the names that it uses."""
    import yaml
    from tunesmith.pipeline import plan

    monkeypatch.chdir(tmp_path)
    row = '{"instruction": "a", "output": "b", "question": "c", "answer": "d", "user": "e"}'
    for name in ("my.json", "instructions.json", "identity.json"):
        Path(name).write_text(f"[{row}]")
    Path("questions.jsonl").write_text(row)
    Path("problems.jsonl").write_text('{"prompt": "a", "solution": "1"}')
    Path("chats.jsonl").write_text('{"messages": [{"role": "user", "content": "a"}]}')
    config = yaml.safe_load(blocks("docs/howto.md", "yaml")[number])
    config.setdefault("data", {"train": ["my.json"]})
    _, problems = plan({**config, "model": {**config.get("model", {}), "path": str(tiny_llama)}})
    assert problems == []


def test_both_readmes_show_the_same_code() -> None:
    for language in ("python", "yaml"):
        english, chinese = (blocks(name, language) for name in READMES)
        without_comments = [[re.sub(r" +#.*", "", block) for block in found] for found in (english, chinese)]
        assert without_comments[0] == without_comments[1]
