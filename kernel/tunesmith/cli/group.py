"""The group of all commands: the kernel's own, then those of installed `command` plugins."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Iterator
from typing import Any

import click
from tunesmith import __version__
from tunesmith.catalog import Catalog, Entry, known_distributions
from tunesmith.cli.languages import language
from tunesmith.cli.output import Output
from tunesmith.errors import PluginError, choices

BUILT_IN = {
    "train": ("run", "Train a model from a YAML file and key=value overrides."),
    "chat": ("run", "Talk to a run's model, or to any model."),
    "export": ("run", "Write the finished model of a run."),
    "plan": ("look", "Show what would happen, and what is wrong, without loading anything."),
    "config": ("look", "Show the resolved configuration, or its JSON Schema; convert one of another program."),
    "plugins": ("installed", "List the installed plugins, or show one's options."),
    "help": ("help", "Show the help of a command."),
}
"""The kernel's commands: the module of `tunesmith.cli` that has each, imported when it is called, and a summary."""

_HIDDEN = {"version": ("help", "")}

CODES = {
    "0": "done",
    "1": "data check found errors; elsewhere the program crashed, and its traceback is a bug report",
    "2": "a mistake in the command line, the configuration or the data",
    "75": "interrupted; it can go on where it was, as the message says",
    "76": "ended on numbers that are not finite, or on a bad row; it can go on after a change, as the message says",
    "130": "interrupted, and there is nothing to go on from",
    "143": "terminated, likewise",
}


class Group(click.Group):
    """A group that says what it has when it is asked for what it has not."""

    def resolve_command(self, context: click.Context, args: list[str]) -> Any:
        if self.get_command(context, args[0]) is None and not args[0].startswith("-"):
            raise click.UsageError(f"no command {args[0]}.\n{self.advice(context, args[0])}", context)
        return super().resolve_command(context, args)

    def advice(self, context: click.Context, name: str) -> str:
        """What to do instead of a command that is not there."""
        return choices(name, self.list_commands(context), "commands")


class Commands(Group):
    """All commands; none of the kernel's is imported to be listed."""

    def list_commands(self, context: click.Context) -> list[str]:
        return [name for name, _ in self.summaries(context)]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name in BUILT_IN or name in _HIDDEN:
            module = {**BUILT_IN, **_HIDDEN}[name][0]
            command: click.Command = getattr(importlib.import_module(f"tunesmith.cli.{module}"), name)
        elif name in catalog_of(context).names("command"):
            command = _from_plugin(catalog_of(context), name)
        else:
            return None
        return _with_common_options(command)

    def summaries(self, context: click.Context) -> Iterator[tuple[str, str]]:
        """Every command with what it does; of one that is broken, or that cannot be called, why."""
        yield from ((name, summary) for name, (_, summary) in BUILT_IN.items())
        catalog = catalog_of(context)
        for name in catalog.names("command"):
            if name not in BUILT_IN and name not in _HIDDEN:
                yield name, _summary(catalog, name)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        rows = list(self.summaries(context))
        with formatter.section("Commands"):
            formatter.write_dl(rows[: len(BUILT_IN)])
        if rows[len(BUILT_IN) :]:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(rows[len(BUILT_IN) :])
        hidden = [entry for entry in catalog_of(context).entries() if hidden_by_built_in(entry)]
        if hidden:
            with formatter.section("Hidden by a command of the same name"):
                formatter.write_dl([(entry.name, f"of {entry.origin}") for entry in hidden])

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl(list(CODES.items()))

    def shell_complete(self, context: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, context, incomplete)
        rows = self.summaries(context)
        return [CompletionItem(name, help=summary) for name, summary in rows if name.startswith(incomplete)]

    def advice(self, context: click.Context, name: str) -> str:
        known, catalog = _known_commands(), catalog_of(context)
        if f"command.{name}" in catalog.hidden:
            return f"it is installed, but hidden: {catalog.restriction}"
        if name in known:
            return f"pip install {known[name]}"
        if name.endswith((".yaml", ".yml")):
            return f"did you mean tunesmith train {name}?"
        return choices(name, {*self.list_commands(context), *known}, "commands")


def catalog_of(context: click.Context) -> Catalog:
    """What is installed, discovered once for a command line."""
    catalog: Catalog = context.find_root().meta.setdefault("tunesmith.catalog", None) or Catalog.discover()
    context.find_root().meta["tunesmith.catalog"] = catalog
    return catalog


def hidden_by_built_in(entry: Entry) -> bool:
    """Whether a plugin's command cannot be called, because the kernel has one of its name."""
    return entry.kind == "command" and (entry.name in BUILT_IN or entry.name in _HIDDEN)


def _known_commands() -> dict[str, str]:
    """The project's distributions by the command that they offer."""
    known = ([*address.split(".", 1), found] for address, found in known_distributions().items())
    return {name: found for kind, name, found in known if kind == "command"}


def _summary(catalog: Catalog, name: str) -> str:
    """What a plugin's command does, or why it cannot be called."""
    try:
        cls = catalog.find("command", name).load()
    except Exception as error:
        return f"broken: {(str(error) or type(error).__name__).splitlines()[0]}"
    written = (cls.__doc__ or "").strip().partition("\n")[0]
    return f"from {catalog.find('command', name).distribution}" if written.startswith(f"{cls.__name__}(") else written


def _from_plugin(catalog: Catalog, name: str) -> click.Command:
    entry = catalog.find("command", name)
    cls = catalog.load(entry)
    try:
        command: click.Command = cls().command()
    except Exception as error:
        advice = f"pip install --upgrade --force-reinstall {entry.distribution}"
        cause = f"{type(error).__name__}: {error}"
        raise PluginError(f"command {name} ({entry.origin}) cannot be made: {cause}\n{advice}") from error
    return command


def _debug(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        _settings(context).debug = True
        _settings(context).apply()


def _quiet(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        _settings(context).quiet = True
        _settings(context).apply()


def _settings(context: click.Context) -> Output:
    return context.ensure_object(Output)


def _common_options() -> list[click.Option]:
    """Options that may be written before the command and after it."""
    return [
        click.Option(
            ["-q", "--quiet"],
            is_flag=True,
            expose_value=False,
            callback=_quiet,
            help="Show warnings, errors and results only.",
        ),
        click.Option(
            ["--debug"],
            is_flag=True,
            expose_value=False,
            callback=_debug,
            help="Show the traceback of every error, and what libraries say.",
        ),
    ]


def _with_common_options(command: click.Command) -> click.Command:
    """A copy of a command that takes the common options too, as far as it has none of these names itself."""
    command = copy.copy(command)
    taken = {name for item in command.params for name in item.opts}
    options = _common_options()
    for option in options:
        option.opts = [name for name in option.opts if name not in taken]
    command.params = [*command.params, *(option for option in options if option.opts)]
    if isinstance(command, click.Group):
        command.commands = {name: _with_common_options(inner) for name, inner in command.commands.items()}
    if language() == "en":
        return command
    from tunesmith.cli.localized import localize

    return localize(command)


@click.group(cls=Commands, params=_common_options(), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Fine-tune language models: data in any common format, a trained adapter or model, chat, export.

    \b
    tunesmith train conf/sft_lora.yaml model.path=Qwen/Qwen3-4B adapter.rank=16
    tunesmith chat runs/sft_lora
    tunesmith export runs/sft_lora
    """
    _settings(context).apply()
    context.call_on_close(_settings(context).undo)
