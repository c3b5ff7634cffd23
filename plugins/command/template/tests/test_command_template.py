"""Templates are listed, shown and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tunesmith import TunesmithError
from tunesmith.catalog import Catalog
from tunesmith_command_template import Template
from tunesmith_command_template.building import subject_of
from tunesmith_library_testing import CommandSuite

MINE = '''
from tunesmith import hookimpl, plugin
from tunesmith_library_chat import ChatTemplate, TemplateFacts

@plugin
class Mine:
    """Mine, a line a turn."""

    traits = TemplateFacts(name="mine", stop=("[END]",), aliases={"mine_old": ""})

    greeting: str = "hello"  # before everything

    @hookimpl
    def chat_template(self):
        return ChatTemplate("mine", SOURCE, ("[END]",)).with_variables(greeting=self.greeting)
'''
GOOD = (
    "{{- greeting }}{% if tools %}{{- raise_exception('no tools') }}{% endif %}{%- for message in messages %}"
    "{{- '[' ~ message.role ~ ']' }}{% if message.role == 'assistant' %}"
    "{% generation %}{{- message.content ~ '[END]' }}{% endgeneration %}"
    "{% else %}{{- message.content ~ '[END]' }}{% endif %}{{- '\\n' }}{%- endfor %}"
    "{{- '[assistant]' if add_generation_prompt }}"
)


class TestTemplate(CommandSuite):
    plugin = Template


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that writes a template into a file, and gives what calls it there."""
    monkeypatch.chdir(tmp_path)

    def write(source: str) -> str:
        (tmp_path / "mine.py").write_text(MINE.replace("SOURCE", repr(source)), encoding="utf-8")
        return "mine.py:Mine"

    return write


def call(*words: str) -> Result:
    return CliRunner().invoke(Template().command(), words)  # type: ignore[attr-defined]


def test_show(mine: Any) -> None:
    result = call("show", mine(GOOD), "greeting=Ahoy")
    assert result.exit_code == 0
    assert "Ahoy[system]Speak like a sailor.[END]\n[user]Who counts the waves?[END]\n" in result.stdout
    assert "[assistant]⟦Nobody counts them twice.[END]⟧\n" in result.stdout
    assert result.stdout.rstrip().endswith("Ahoy[user]Who counts the waves?[END]\n[assistant]")


def test_check(mine: Any) -> None:
    result = call("check", mine(GOOD))
    assert result.exit_code == 0 and "everything holds" in result.stdout and "✗" not in result.stdout


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (("{{- message.content ~ '[END]' }}{% endgen", "{{- message.content }}{% endgen"), "marks_what_the_assistant"),
        (("raise_exception('no tools')", "''"), "tools_are_written"),
        (("'[assistant]' if", "'[bot]' if"), "prompt_begins_what_is_trained"),
    ],
)
def test_what_is_wrong(mine: Any, fault: tuple[str, str], found: str) -> None:
    assert fault[0] in GOOD
    result = call("check", mine(GOOD.replace(*fault)))
    assert result.exit_code == 1 and f"✗ {found}" in result.stdout and "✓ renders_every_message" in result.stdout


def test_the_template_of_a_tokenizer_is_the_expectation(mine: Any, tiny_bpe: Any, tmp_path: Path) -> None:
    """Differences stand side by side; what that template drops in silence is not asked for."""
    own = (
        GOOD.replace("{% generation %}", "")
        .replace("{% endgeneration %}", "")
        .replace("raise_exception('no tools')", "''")
    )
    tokenizer = type(tiny_bpe)(tokenizer_object=tiny_bpe.backend_tokenizer, bos_token="<s>", eos_token="</s>")
    tokenizer.chat_template = "{% set greeting = 'hello' %}" + own
    tokenizer.save_pretrained(tmp_path / "same")
    tokenizer.chat_template = "{% set greeting = 'hello' %}" + own.replace("'[' ~ message.role", "'[ ' ~ message.role")
    tokenizer.save_pretrained(tmp_path / "other")
    name = mine(GOOD)
    same, other = call("check", name, "--tokenizer", "same"), call("check", name, "--tokenizer", "other")
    assert same.exit_code == 0, same.stdout
    assert "conversations compared with the tokenizer's own template" in same.stdout
    assert other.exit_code == 1 and "single: not as the official template writes it" in other.stdout
    line = next(line for line in other.stdout.splitlines() if "[ user]Who counts" in line)
    assert line.index("[ user]") < line.index("[user]")


def test_what_could_not_be_compared_is_said(mine: Any, tiny_bpe: Any, tmp_path: Path) -> None:
    """A tokenizer without template is no agreement with it; tokens that it does not have are named."""
    name = mine(GOOD.replace("[END]", "<|the_end|>").replace("'[' ~ message.role ~ ']'", "'<|role|>'"))
    Path("mine.py").write_text(Path("mine.py").read_text().replace("[END]", "<|the_end|>"))
    tiny_bpe.save_pretrained(tmp_path / "bare")
    bare, alone = call("check", name, "--tokenizer", "bare"), call("check", name)
    assert "✓ is_the_official_format" not in bare.stdout + alone.stdout
    assert "not compared, for this tokenizer brings no chat template along" in bare.stdout
    assert "! this tokenizer has no token for, and reads as text: <|role|>, <|the_end|>" in bare.stdout
    assert "not compared; --tokenizer FOLDER compares" in alone.stdout and "no token for" not in alone.stdout


def test_list(mine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mine(GOOD)
    cls = Catalog.of({}).load(Catalog.of({}).find("template", "mine.py:Mine"))
    catalog = Catalog.of({"template.mine": cls, "template.mine_old": cls})
    monkeypatch.setattr("tunesmith_command_template.listing.Catalog.discover", lambda: catalog)
    assert call().stdout == "mine  Mine, a line a turn. (also: mine_old)\n"


def test_mistakes(mine: Any) -> None:
    name = mine(GOOD)
    with pytest.raises(TunesmithError, match="no installed plugin provides template=mina"):
        subject_of("mina", (), None)
    with pytest.raises(TunesmithError, match="greetin"):
        subject_of(name, ("greetin=x",), None)
    with pytest.raises(TunesmithError, match="write OPTION=VALUE"):
        subject_of(name, ("greeting",), None)
    assert json.dumps(subject_of(name, ("greeting=1",), None).template.variables["greeting"]) in ('"1"', "1")
