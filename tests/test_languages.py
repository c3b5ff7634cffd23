"""Messages in the user's language: what is shown is translated, whatever stands in it; catalogues follow the code."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from tunesmith.cli import languages, trait_words
from tunesmith.cli.languages import Catalogue, language, read_po, translate
from tunesmith.cli.languages import _Message as Message
from tunesmith.cli.localized import wrapped
from tunesmith.cli.running import run
from tunesmith.cli.tables import cells
from tunesmith.traits import TRAITS

ROOT = Path(__file__).parents[1]
FILES = [*ROOT.glob("kernel/tunesmith/locale/*/*/*.po"), *ROOT.glob("plugins/*/*/*/locale/*/*/*.po")]
_FIELD = re.compile(r"\{\{|\}\}|\{(\w+)\}")
_HOSTILE = ("a b/c.json", "'it\"s'", "1,234.5", "{x}", "数据 集", "", "(?:.*)+", "C:\\new\\run", "-1", "%s", "x: y")


@pytest.fixture
def chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_LANG", "zh")


def entries(file: Path) -> list[tuple[str, str]]:
    return [(written, meant) for written, meant in read_po(file) if written and meant]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "TUNESMITH_LANG": "en"}, "en"),
        ({"LANGUAGE": "tlh:zh_TW:en", "LANG": "de_DE"}, "zh"),
        ({"TUNESMITH_LANG": "../../zh"}, "en"),
    ],
)
def test_the_language_is_read_as_gettext_reads_it(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, str], meant: str
) -> None:
    for name in languages.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert language() == meant


def rendered(text: str, values: dict[str, str]) -> str:
    return _FIELD.sub(lambda found: values[found[1]] if found[1] else found[0][0], text)


def suiting(text: str) -> Iterator[dict[str, str]]:
    """Values for the fields of a msgid that do not hold what stands beside the field, so that one reading is right."""
    names = [name for name in _FIELD.findall(text) if name]
    beside = [part for part in re.split(r"\{\w+\}", text) if part]
    for shift in range(len(_HOSTILE)):
        values = {name: _HOSTILE[(shift + number) % len(_HOSTILE)] for number, name in enumerate(names)}
        alone = not any(part.strip() in value or value in part for part in beside for value in values.values())
        if alone and Message(text, text).may_hold(list(values.values())):
            yield values


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_translations_have_the_same_values_as_the_messages(file: Path) -> None:
    told = 0
    for written, meant in entries(file):
        alone = Catalogue()
        alone.add([(written, meant)])
        assert {*_FIELD.findall(meant)} - {""} <= {*_FIELD.findall(written)}, written
        for values in suiting(written):
            assert alone.text(rendered(written, values)) == rendered(meant, values)
            told += 1
    told += len([1 for written, _ in entries(file) if Message(written, "").weight <= 5])  # they hold few values
    assert told >= len([1 for written, _ in entries(file) if any(_FIELD.findall(written))])


def test_catalogues_are_files_of_gettext() -> None:
    from babel.messages.pofile import read_po as read_by_babel

    for file in FILES[:40]:
        with file.open("rb") as stream:
            theirs = {message.id: message.string for message in read_by_babel(stream) if message.id}
        assert theirs == {written: meant for written, meant in read_po(file) if written}, file


@pytest.mark.slow
def test_catalogues_have_the_messages_of_the_code() -> None:
    done = subprocess.run([sys.executable, ROOT / "docs/tools/messages.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_helps_of_the_page_are_those_of_the_catalogues() -> None:
    command = [sys.executable, ROOT / "docs/tools/option_words.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("package", "floor"),
    [
        *(("tunesmith", 0.98), ("tunesmith_library_configuration", 0.95), ("tunesmith_library_training", 0.95)),
        *(("tunesmith_library_studio", 0.95), ("tunesmith_command_data", 0.95), ("tunesmith_library_chat", 0.95)),
    ],
)
def test_what_everybody_meets_is_translated(package: str, floor: float) -> None:
    """A new message may go without for a while: its English stands in."""
    file = next(file for file in FILES if file.stem == package)
    every = [written for written, _ in read_po(file) if written]
    assert len(entries(file)) >= floor * len(every)


def test_messages_within_messages_and_over_lines() -> None:
    catalogue = Catalogue()
    catalogue.add(
        [
            ("{count} in the file:", "文件中有{count}："),
            ("{number} errors", "{number} 个错误"),
            ("{path} is no {kind}.", "{path} 不是 {kind}。"),
            ("{place} of {total} is the rest", "{total} 中的 {place} 是其余"),
            ("file", "文件"),
        ]
    )
    assert catalogue.text("2 errors in the file:\n\n  a b is no file.\n    see x") == (
        "文件中有2 个错误：\n\n  a b 不是 file。\n    see x"
    )
    assert catalogue.text("file") == "文件"
    assert catalogue.text("1\n2 of 3 is the rest") == "3 中的 1\n2 是其余"
    assert catalogue.text("nothing of it") == "nothing of it"


def test_the_most_specific_message_counts() -> None:
    catalogue = Catalogue()
    catalogue.add([("{what} cannot be read: {why}", "A"), ("{path} cannot be read: no such {thing}", "B {path}")])
    assert catalogue.text("x cannot be read: no such file") == "B x"
    assert catalogue.text("x cannot be read: it is locked") == "A"


def test_a_short_message_is_found_in_no_sentence_of_others() -> None:
    catalogue = Catalogue()
    catalogue.add([("{count} in {owner}", "{owner} 中 {count} 个"), ("in {folder}: {names}", "{folder} 中有：{names}")])
    catalogue.add([("{count} tokens", "{count} 个 token")])
    assert catalogue.text("1,024 tokens") == "1,024 个 token"
    assert catalogue.text("the last answer is longer than 20 tokens") == "the last answer is longer than 20 tokens"
    assert catalogue.text("3 in train.json") == "train.json 中 3 个"
    assert catalogue.text("in a: b, c, d, e, f, g") == "a 中有：b, c, d, e, f, g"
    catalogue.add([("{some} of all {many} parameters ({share})", "{many} 个参数中的 {some} 个（{share}）")])
    whole = "trained: 8 of all 16 parameters (50%) (rank 8)"
    assert catalogue.text(whole) == whole
    for foreign in ("expected all tensors to be on one device in a batch", "weights in 16 bits", "cells in memory"):
        assert catalogue.text(foreign) == foreign


def test_errors_help_and_tables_are_told_in_chinese(chinese: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--hepl"]) == 2
    assert "错误：tunesmith train 没有选项 --hepl。" in capsys.readouterr().err
    assert run(["--help"]) == 0
    assert "用 YAML 文件和 key=value 覆盖项训练模型。" in capsys.readouterr().out
    assert run(["plan", "nowhere.yaml"]) == 2
    assert capsys.readouterr().err.startswith("错误：nowhere.yaml：没有这个文件。\n")
    assert run(["plugins", "show", "adapter.lora"]) == 0
    assert "默认值" in capsys.readouterr().out


def test_programs_read_english(chinese: None, capsys: pytest.CaptureFixture[str]) -> None:
    run(["plan", "adapter.rnak=1", "--json"])
    out = capsys.readouterr().out
    assert "has no option rnak" in out
    assert "没有" not in out


def test_english_reads_no_catalogue(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TUNESMITH_LANG", "en")
    monkeypatch.setattr(languages, "read_po", lambda file: pytest.fail("read"))
    assert run(["--help"]) == 0
    assert "Train a model" in capsys.readouterr().out


def test_lines_are_as_wide_as_they_are_shown() -> None:
    text = "继续被中断的运行 resume=true，或写明 output_dir=runs/a。"
    lines = list(wrapped(text, 20))
    assert all(cells(line) <= 20 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert not any(line.startswith(("，", "。")) for line in lines)
    assert "resume=true，" in "\n".join(lines)


def test_help_of_a_plugins_command_is_wrapped_and_short(chinese: None) -> None:
    from tunesmith.cli.localized import localize

    @click.group()
    def group() -> None:
        """Write the finished model of a run."""

    @group.command()
    @click.option("--depth", default=3, show_default=True, help="File to write.")
    def inner(depth: int) -> None:
        """Train a model.

        CONFIG is a YAML file, or the folder of a run to repeat. resume=true continues an interrupted run.
        """

    group.add_command(localize(inner))
    shown: Any = CliRunner().invoke(localize(group), ["--help"])
    assert "训练模型。" in shown.output
    shown = CliRunner().invoke(localize(group), ["inner", "--help"])
    assert "要写入的文件。  [默认：3]" in shown.output
    assert "CONFIG 是 YAML 文件" in shown.output


def test_every_trait_has_words() -> None:
    """What is put together while it is shown stands in no call that an extractor could read."""
    known = set(trait_words.MESSAGES)
    for kind, cls in TRAITS.items():
        for field in dataclasses.fields(cls):
            said = field.name.replace("_", " ")
            if isinstance(field.default, bool):
                assert {said, f"not {said}"} <= known, f"{kind}: {said}"
            elif "Mapping" not in str(field.type):
                assert any(message.startswith(f"{said} {{") for message in known), f"{kind}: {said}"


def test_it_is_quick(chinese: None) -> None:
    translate("x")
    begun = time.process_time()
    for _ in range(20):
        translate("no installed plugin provides adapter=lroa.\ninstalled: lora, oft   did you mean lora?")
    assert time.process_time() - begun < 0.4


def test_parts_of_a_line_are_told_part_by_part() -> None:
    catalogue = Catalogue()
    catalogue.add(
        [
            *(("{size} in loading", "加载时 {size}"), ("{size} in an evaluation", "评估时 {size}")),
            *(("the peak of all phases: {rest}", "峰值：{rest}"), ("optimizer states", "优化器状态")),
            *(("…, …", "…，…"), ("…: …", "…：…"), ("the longest row has {count}: {place}", "最长 {count}：{place}")),
        ]
    )
    assert (
        catalogue.text("the peak of all phases: 4 MB in loading, 8 MB in an evaluation")
        == "峰值：加载时 4 MB，评估时 8 MB"
    )
    assert catalogue.text("the peak of all phases: rank, alpha") == "峰值：rank, alpha", "names are no parts of ours"
    assert catalogue.text("optimizer states: 1.4 MB") == "优化器状态：1.4 MB"
    assert catalogue.text("weights: 1.4 MB") == "weights: 1.4 MB"
    assert (
        catalogue.text("the peak of all phases: the longest row has 3: a b, 4 MB in loading")
        == "峰值：最长 3：a b，加载时 4 MB"
    )


def test_what_is_put_together_has_the_separators_of_the_language(chinese: None, monkeypatch: Any) -> None:
    assert languages.joined(("一", "二"), "; ") == "一；二"
    monkeypatch.setenv("TUNESMITH_LANG", "en")
    assert languages.joined(("one", "two"), "; ") == "one; two"


def test_plans_and_plugins_are_told_in_chinese(chinese: None, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["plugins", "show", "adapter.lora"]) == 0
    out = capsys.readouterr().out
    assert "特性：" in out and "低秩" in out and "int, 1 到 65,536" in out
    assert run(["chat", "nothere", "-m", "x"]) == 2 and "nothing" not in capsys.readouterr().err
    assert run(["plan", "seed=7"]) == 2
    out = capsys.readouterr().out
    assert "# 命令行" in out and "# 默认" in out and "（包裹）" in out
