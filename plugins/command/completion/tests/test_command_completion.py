"""Completion by what it answers, and in the shells themselves where they are installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import click
import pytest
from click.testing import CliRunner
from tunesmith import TunesmithError, plugin
from tunesmith.catalog import Catalog, Entry
from tunesmith.cli import cli
from tunesmith.ranges import at_least
from tunesmith_command_completion import Completion
from tunesmith_command_completion.answer import Answer
from tunesmith_command_completion.answers import answers
from tunesmith_command_completion.shells import reply, script
from tunesmith_library_testing import CommandSuite

SHELLS = ("bash", "zsh", "fish")


class TestCompletion(CommandSuite):
    plugin = Completion


@plugin
class Lora:
    """Low rank."""

    rank: Annotated[int, at_least(1)] = 8  # rank of the update
    rank_pattern: dict[str, int] = {}  # of single layers
    target: Literal["all", "attention"] | None = None  # which layers
    fast: bool = True


@plugin
class Full:
    """All weights."""

    skip: str = ""  # a pattern


@plugin
class Wandb:
    """Tells a server."""

    project: str = "mine"  # its name there
    mode: Literal["online", "offline"] = "online"


@plugin
class Serve:
    """Serve a model."""

    def command(self) -> Any:
        @click.command("serve")
        @click.option("--host", type=click.Choice(["localhost", "everywhere"]), help="Who may ask.")
        def command(host: str) -> None:
            """Serve a model."""

        return command


def broken() -> Any:
    raise ImportError("no such module")


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """The answers to words, the last of which is unfinished."""
    made = Catalog.of(
        {
            "adapter.lora": Lora,
            "adapter.full": Full,
            "tracker.wandb": Wandb,
            "quantizer.hqq": Full,
            "command.serve": Serve,
        }
    )
    entries = [*made.entries(), Entry("adapter", "sad", "acme", "1.0", "x:X", "", broken)]
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: Catalog(entries)))
    monkeypatch.setattr("tunesmith_library_configuration.recipes.recipe_folders", lambda: [tmp_path / "package"])
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "qlora.yaml").write_text("seed: 1\n")
    here = tmp_path / "here"
    for name in ("conf/sft.yaml", "conf/notes.txt", "runs/one/run.yaml", ".hidden/x.yaml", "mine.yaml"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text("adapter: {name: full}\n")
    monkeypatch.chdir(here)

    def ask(*words: str) -> list[str]:
        return [answer.value for answer in answers(click.Context(cli), words[:-1], words[-1])]

    return ask


def test_commands(ask: Any) -> None:
    assert ask("tr") == ["train"]
    assert {"train", "chat", "plugins", "serve"} <= set(ask(""))
    assert ask("config", "s") == ["schema", "show"]
    assert ask("help", "tra") == ["train"]


@pytest.mark.parametrize(("shell", "nearest"), [("tcsh", ""), ("Zhs", "did you mean zsh?"), ("powershell", "")])
def test_a_shell_that_has_none_is_told_which_have(shell: str, nearest: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell])
    assert isinstance(result.exception, TunesmithError)
    assert f"{shell} has no completion.\npossible: bash, fish, zsh" in str(result.exception)
    assert nearest in str(result.exception)


@pytest.mark.parametrize("shell", ["bash", "/usr/bin/zsh", "FISH"])
def test_shells_that_have_one(shell: str) -> None:
    assert "tunesmith" in CliRunner().invoke(cli, ["completion", shell]).output


def test_options_and_their_values(ask: Any) -> None:
    """Those of click, of other people's commands too."""
    assert {"--quiet", "--help"} <= set(ask("train", "--"))
    assert ask("plan", "--for", "ch") == ["chat"]
    assert ask("plan", "mine.yaml", "--for", "ch") == ["chat"]
    assert ask("serve", "--ho") == ["--host"] and ask("serve", "--host", "") == ["localhost", "everywhere"]
    assert ask("chat", "-m", "adapter") == [], "a question"


def test_what_can_be_shown(ask: Any) -> None:
    assert ask("plugins", "show", "lo") == ["loss", "lora"]
    assert ask("plugins", "show", "adapter.") == ["adapter.full", "adapter.lora", "adapter.sad"]


def test_files_and_recipes(ask: Any) -> None:
    assert ask("train", "")[:4] == ["conf/", "mine.yaml", "runs/", "qlora.yaml"]
    assert ask("train", "conf/") == ["conf/sft.yaml", "conf/qlora.yaml"]
    assert ask("chat", "runs/") == ["runs/one"]
    assert ask("train", ".h") == [".hidden/"]
    assert ask("train", "mine.yaml", "m") == ["model=", "model."], "one configuration is enough"


def test_keys(ask: Any) -> None:
    assert ask("train", "ad") == ["adapter=", "adapter."]
    assert ask("train", "see") == ["seed="] and ask("config", "show", "see") == ["seed="]
    assert ask("train", "adapter.ra") == ["adapter.rank=", "adapter.rank_pattern="]
    assert ask("train", "tracker.") == ["tracker.wandb=", "tracker.wandb."]
    assert ask("train", "tracker.wandb.p") == ["tracker.wandb.project="]


def test_options_are_those_of_the_plugin_that_is_selected(ask: Any) -> None:
    """By the line, by the file, by default."""
    assert ask("train", "adapter=full", "adapter.") == ["adapter.skip="]
    assert ask("train", "adapter.name=full", "adapter.") == ["adapter.skip="]
    assert ask("train", "adapter={name: full}", "adapter.") == ["adapter.skip="]
    assert ask("train", "mine.yaml", "adapter.") == ["adapter.skip="]
    assert ask("train", "mine.yaml", "adapter=lora", "adapter.f") == ["adapter.fast="]
    assert ask("train", "nowhere.yaml", "adapter.f") == ["adapter.fast="]
    assert ask("train", "quantizer.") == [], "none is selected"


def test_values(ask: Any) -> None:
    assert ask("train", "adapter=l") == ["adapter=lora"]
    assert ask("train", "adapter.name=") == ["adapter.name=full", "adapter.name=lora", "adapter.name=sad"]
    assert ask("train", "quantizer=") == ["quantizer=hqq", "quantizer=null"]
    assert ask("train", "tracker=") == ["tracker=wandb"]
    assert ask("train", "tracker.wandb=") == ["tracker.wandb=true", "tracker.wandb=false"]
    assert ask("train", "tracker.wandb.mode=o") == ["tracker.wandb.mode=online", "tracker.wandb.mode=offline"]
    assert ask("train", "adapter.target=") == [f"adapter.target={value}" for value in ("all", "attention", "null")]
    assert ask("train", "adapter.fast=t") == ["adapter.fast=true"]
    assert ask("train", "precision=b") == ["precision=bf16"]
    assert ask("train", "adapter.rank=") == ask("train", "output_dir=") == [], "the shell completes files"


def test_descriptions(ask: Any) -> None:
    root = click.Context(cli)
    assert answers(root, ["train"], "adapter.rank=")[:1] == []
    assert answers(root, ["train"], "adapter.rank")[0] == Answer("adapter.rank=", "rank of the update [8]")
    assert answers(root, ["train"], "adapter=l") == [Answer("adapter=lora", "Low rank.")]
    assert answers(root, ["train"], "adapter=s") == [Answer("adapter=sad", "broken: tunesmith plugins says why")]
    assert answers(root, [], "ser") == [Answer("serve", "Serve a model.")]


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense", "x"],
        ["train", "a..b.="],
        ["train", "adapter=sad", "adapter."],
        ["train", "model.path="],
        ["train", "x=1", "[", "a="],
    ],
)
def test_a_line_that_means_nothing_is_answered_by_nothing(ask: Any, words: list[str]) -> None:
    assert reply("zsh", ["tunesmith", *words], click.Context(cli)) == ""


def test_bash_gets_what_stands_behind_the_last_break(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    root = click.Context(cli)
    monkeypatch.setenv("COMP_WORDBREAKS", " \t\n\"'><=;|&(:")
    assert reply("bash", ["tunesmith train adapter=l"], root) == "lora\n"
    assert reply("bash", ["tunesmith train ad"], root) == "adapter=\nadapter.\n"
    assert reply("bash", ["tunesmith train mine.yaml "], root).startswith("model=\n")
    monkeypatch.setenv("COMP_WORDBREAKS", " \t\n")
    assert reply("bash", ["tunesmith train adapter=l"], root) == "adapter=lora\n"
    Path("with space.yaml").write_text("")
    assert reply("bash", ["tunesmith train with"], root) == "with\\ space.yaml\n"


def test_nothing_heavy_is_imported() -> None:
    program = (
        "import sys; sys.argv = 'tunesmith completion zsh -- tunesmith train adapter.'.split()\n"
        "from tunesmith.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'transformers', 'omegaconf', 'rich', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


# ---- in the shells ---------------------------------------------------------------------------------------------------

_IN_BASH = """
source "$1"
complete() { shift $(($# - 1)); }
COMP_WORDBREAKS=$' \\t\\n"><=;|&(:' COMP_LINE=$2 COMP_POINT=${#2}
_tunesmith tunesmith
printf '%s\\n' "${COMPREPLY[@]}"
"""
_ZSHRC = """
PS1=
autoload -Uz compinit && compinit -u -D
source tunesmith.zsh
show() { print -r -- "<$BUFFER>" }
zle -N show
bindkey '^X' show
print READY
"""
_IN_ZSH = """
zmodload zsh/zpty
zpty it zsh -d -i
while zpty -r it line; do [[ $line == *READY* ]] && break; done
zpty -w -n it "$1"$'\\t\\x18'
while zpty -r it line; do [[ $line == *'<'*'>'* ]] && print -r -- $line && break; done
"""


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The scripts as files, and `tunesmith` on the path."""
    for shell in SHELLS:
        (tmp_path / f"tunesmith.{shell}").write_text(script(shell), encoding="utf-8")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if shutil.which("tunesmith") is None:
        pytest.skip("no tunesmith on the path")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def needs(shell: str) -> str:
    return shutil.which(shell) or pytest.skip(f"{shell} is not installed")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tunesmith tr", ["train"]),
        ("tunesmith train precision=b", ["bf16"]),
        ("tunesmith config s", ["schema", "show"]),
        ("tunesmith nonsense x", [""]),
    ],
)
def test_in_bash(scripts: Path, line: str, expected: list[str]) -> None:
    command = [needs("bash"), "-c", _IN_BASH, "bash", str(scripts / "tunesmith.bash"), line]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == expected and done.stderr == ""


def test_in_fish(scripts: Path) -> None:
    (scripts / "file.txt").write_text("")

    def complete(line: str) -> list[str]:
        program = f"source {scripts / 'tunesmith.fish'}; complete --do-complete '{line}'"
        done = subprocess.run([needs("fish"), "--no-config", "-c", program], capture_output=True, text=True, timeout=60)
        return [answer.partition("\t")[0] for answer in done.stdout.splitlines()]

    assert complete("tunesmith tr") == ["train"]
    assert complete("tunesmith train precision=b") == ["precision=bf16"]
    assert complete("tunesmith train model.path=fi") == ["model.path=file.txt"], "files, where there is no answer"


def test_in_zsh(scripts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through zsh's own line editor."""
    (scripts / "file.txt").write_text("")
    (scripts / ".zshrc").write_text(_ZSHRC)
    monkeypatch.setenv("ZDOTDIR", str(scripts))

    def complete(line: str) -> str:
        command = [needs("zsh"), "-f", "-c", _IN_ZSH, "zsh", line]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        (shown,) = re.findall(r"<(.*)>", done.stdout)
        return shown

    assert complete("tunesmith tr") == "tunesmith train "
    assert complete("tunesmith train precision=b") == "tunesmith train precision=bf16 "
    assert complete("tunesmith train adap") == "tunesmith train adapter"
    assert complete("tunesmith train model.path=fi") == "tunesmith train model.path=file.txt ", "no answer, so files"
