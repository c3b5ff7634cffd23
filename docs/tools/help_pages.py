"""docs/commands.md and its Chinese page: the help of every command, as a terminal of 100 columns shows it."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from tunesmith.catalog import Catalog
from tunesmith.cli import localized
from tunesmith.cli.group import BUILT_IN, cli
from tunesmith.cli.languages import translate

PAGES = {"en": "commands.md", "zh": "commands.zh.md"}
_SETTINGS: dict[str, Any] = {"terminal_width": 100, "max_content_width": 100, "help_option_names": ["-h", "--help"]}
_KEYS = re.compile(r"\n(?:Keys, and the installed plugins|键，以及可选的已安装插件).*?(?=\n\S|\Z)", re.S)
_HEADS = {
    "en": """\
# Commands

{notice}<!-- page: not run: the help of each command, made from the command itself -->
What `--help` says of each command that this repository has. Configurations and `KEY=VALUE` are explained in
[the language](configuration.md), the options of plugins in [the reference](reference.md); the list of all keys with the
installed plugins, which `--help` has, is left out here.

| command | what it does |
|---|---|
{rows}
""",
    "zh": """\
# 命令

{notice}<!-- page: not run: the help of each command, made from the command itself -->
本仓库每条命令的 `--help`，即 `TUNESMITH_LANG=zh` 时的输出；还没有译文的保持英文。配置和 `KEY=VALUE` 的写法见
[配置](configuration.zh.md)，插件的选项见[参考](reference.zh.md)；`--help` 中列出全部键和已安装插件的部分，这里略去。

| 命令 | 作用 |
|---|---|
{rows}
""",
}


def help_page(plugins: Mapping[str, type], notice: str) -> Iterator[tuple[Path, str]]:
    """The pages, and the text that each should have.

    Args:
        plugins: the classes of the commands by name.
        notice: the line that says that a page is generated.
    """
    said = {name: os.environ.get(name) for name in ("TUNESMITH_LANG", "NO_COLOR")}
    try:
        for language, page in PAGES.items():
            os.environ.update(TUNESMITH_LANG=language, NO_COLOR="1")
            yield Path(__file__).resolve().parents[1] / page, _page(plugins, notice, language)
    finally:
        for name, value in said.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _page(plugins: Mapping[str, type], notice: str, language: str) -> str:
    made = click.Context if language == "en" else localized.Context
    root = made(cli, info_name="tunesmith", **_SETTINGS)
    root.meta["tunesmith.catalog"] = Catalog.of({f"command.{name}": cls for name, cls in plugins.items()})
    names = [*BUILT_IN, *sorted(plugins)]
    about = {name: text for name, (_, text) in BUILT_IN.items()}
    about |= {name: inspect.cleandoc(cls.__doc__ or "").partition("\n")[0] for name, cls in plugins.items()}
    rows = "\n".join(f"| [`{name}`](#tunesmith-{name}) | {translate(about[name], language)} |" for name in names)
    head = _HEADS[language].format(notice=notice, rows=rows)
    return "\n".join([head, *_sections(root, cli, names, 2)])


def _sections(context: click.Context, command: click.Command, names: list[str], level: int) -> Iterator[str]:
    """The help of a command, then that of the commands within it."""
    text = _KEYS.sub("", re.sub(r"[ \t]+$", "", command.get_help(context), flags=re.M)).strip()
    yield f"{'#' * level} `{context.command_path}`\n\n```text\n{text}\n```\n"
    for name in names:
        assert isinstance(command, click.Group)
        inner = command.get_command(context, name)
        assert inner is not None, f"no command {name}"
        below = type(context)(inner, info_name=name, parent=context, **_SETTINGS)
        yield from _sections(below, inner, _within(inner), level + 1)


def _within(command: click.Command) -> list[str]:
    return sorted(command.commands) if isinstance(command, click.Group) else []
