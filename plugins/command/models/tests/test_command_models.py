"""Known models are listed and searched."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tunesmith import TunesmithError
from tunesmith_command_models import Models
from tunesmith_command_models.listing import listed
from tunesmith_library_testing import CommandSuite


class TestModels(CommandSuite):
    plugin = Models


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry in the current folder, and none installed."""
    monkeypatch.setattr("tunesmith_library_configuration.models.recipe_folders", lambda: [])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").mkdir()
    file = tmp_path / "conf" / "models.yaml"
    file.write_text(
        "Tide-7B-Chat: {huggingface: sea/tide-7b-chat, modelscope: Sea/tide, template: tide}\n"
        "Tide-7B: {huggingface: sea/tide-7b}\n"
        "Lake: {modelscope: Lakes/lake, template: lake}\n"
    )
    return file


def call(*words: str) -> Result:
    return CliRunner().invoke(Models().command(), words)  # type: ignore[attr-defined]


def test_all_and_some(registry: Path) -> None:
    assert call().stdout == (
        "Lake          modelscope://Lakes/lake  lake\n"
        "Tide-7B       sea/tide-7b              -\n"
        "Tide-7B-Chat  sea/tide-7b-chat         tide\n"
    )
    assert call("TIDE chat").stdout == "Tide-7B-Chat  sea/tide-7b-chat  tide\n"
    for words in (["tide", "chat"], ["tide7bchat"], ["ti*-chat"]):
        assert call(*words).stdout == call("TIDE chat").stdout
    assert call("tide chat", "--hub", "modelscope").stdout == "Tide-7B-Chat  Sea/tide  tide\n"


def test_numbers_are_in_order(registry: Path) -> None:
    registry.write_text("Tide-70B: sea/b\nTide-8B: sea/a\nTide-3.1-8B: sea/c\nTide-3-8B: sea/d\nTide: sea/e\n")
    names = [line.split()[0] for line in call().stdout.splitlines()]
    assert names == ["Tide", "Tide-3-8B", "Tide-3.1-8B", "Tide-8B", "Tide-70B"]


def test_what_is_not_there(registry: Path) -> None:
    with pytest.raises(TunesmithError, match=r"no known model is called tied-7b.*\n.*did you mean Tide-7B"):
        listed("tied-7b", "huggingface")
    with pytest.raises(TunesmithError, match=r"--hub modelscop: .*\n.*did you mean modelscope\?"):
        listed("", "modelscop")
    registry.unlink()
    with pytest.raises(TunesmithError, match="pip install tunesmith-suite"):
        listed("", "huggingface")
