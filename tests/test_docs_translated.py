"""Chinese pages say what the English ones say now, and show the same code."""

import io
import re
import shlex
import sys
import tokenize
from pathlib import Path

import pytest
import yaml
from docs_marks import ROOT, Block, blocks

sys.path.append(str(ROOT / "docs/tools"))
import translations

CHINESE = sorted([*ROOT.glob("*.zh.md"), *(ROOT / "docs").glob("**/*.zh.md")])
TRANSLATED = [page for page in CHINESE if translations.original_of(page).is_file()]


def essence(block: Block) -> object:
    """What a block does: its code without comments, and without strings, which may be in the reader's language."""
    text = block.text
    if block.language == "python":
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        kept = (tokenize.COMMENT, tokenize.STRING, tokenize.NL)
        return [token.string for token in tokens if token.type not in kept]
    if block.language == "yaml":
        return _keys(list(yaml.compose_all(text)))
    if block.language == "bash":
        lines = text.replace("\\\n", " ").splitlines()
        return [_without_texts(shlex.split(line, comments=True)) for line in lines if shlex.split(line, comments=True)]
    if block.language == "console":
        return [_without_texts(shlex.split(line[2:])) for line in text.splitlines() if line.startswith("$ ")]
    return len(text.splitlines()) if block.language in ("json", "jsonl", "toml") else block.language


def _keys(node: object) -> object:
    """The structure of YAML, with its keys and what is not a text in another language."""
    if isinstance(node, list):
        return [_keys(part) for part in node]
    if isinstance(node, yaml.MappingNode):
        return [(_keys(key), _keys(value)) for key, value in node.value]
    if isinstance(node, yaml.SequenceNode):
        return [_keys(part) for part in node.value]
    assert isinstance(node, yaml.ScalarNode)
    return node.value if node.value.isascii() and " " not in node.value else ""


def _without_texts(words: list[str]) -> list[str]:
    return [word if word.isascii() and " " not in word else "" for word in words]


def test_no_page_is_older_than_its_original() -> None:
    assert translations.stale() == [], "translate the change, then: python docs/tools/translations.py --stamp PAGE"


def test_every_page_of_the_user_is_there_in_chinese() -> None:
    assert translations.missing() == []


@pytest.mark.parametrize("page", TRANSLATED, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_both_languages_show_the_same_code(page: Path) -> None:
    english, chinese = blocks(translations.original_of(page)), blocks(page)
    assert [block.language for block in chinese] == [block.language for block in english]
    for mine, theirs in zip(chinese, english, strict=True):
        assert mine.marks == theirs.marks, f"{mine.place} has other marks than {theirs.place}"
        assert essence(mine) == essence(theirs), f"{mine.place} differs from {theirs.place}"


def test_code_is_compared_without_what_a_person_reads() -> None:
    def block(language: str, text: str) -> Block:
        return Block(ROOT / "README.md", 1, language, text)

    assert essence(block("python", "a = 'x'  # one\n")) == essence(block("python", "a = '一'  # 二\n"))
    assert essence(block("python", "a = 1\n")) != essence(block("python", "a = 2\n"))
    assert essence(block("yaml", "a: who are you  # x\n")) == essence(block("yaml", "a: 你是谁\n"))
    assert essence(block("yaml", "a: b\n")) != essence(block("yaml", "a: c\n"))
    assert essence(block("bash", "tunesmith chat r -m 'Who are you?'\n")) == essence(
        block("bash", "tunesmith chat r -m '你是谁？'  # 问\n")
    )
    assert essence(block("bash", "tunesmith chat r\n")) != essence(block("bash", "tunesmith chat q\n"))
    assert not re.search("[一-鿿]", str(essence(block("yaml", "a: 你\n"))))
