"""The command line: `tunesmith COMMAND`. Commands are imported when they are called, so that `--help` is quick."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from typing import Any

import click

_COMMANDS = {
    "train": ("run", "Train a model from a YAML file and key=value overrides."),
    "chat": ("run", "Talk to a run's model, or to any model."),
    "export": ("run", "Write the finished model of a run."),
    "plan": ("look", "Show what would happen, and what is wrong, without loading anything."),
    "config": ("look", "Show the resolved configuration, or its JSON Schema."),
    "plugins": ("look", "List the installed plugins, or show one's options."),
    "data": ("data", "Show the examples that a run would train on."),
    "env": ("tools", "Show versions and hardware, for a bug report."),
    "version": ("tools", "Show the version."),
}


class _Group(click.Group):
    """The built-in commands, then those of installed `command` plugins; none is imported to be listed."""

    def list_commands(self, context: click.Context) -> list[str]:
        return [*_COMMANDS, *_plugin_commands()]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name in _COMMANDS:
            command: click.Command = getattr(importlib.import_module(f"tunesmith.cli.{_COMMANDS[name][0]}"), name)
            return command
        entry = _plugin_commands().get(name)
        return _from_plugin(entry) if entry else None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, summary) for name, (_, summary) in _COMMANDS.items()]
        rows += [(name, f"from {entry.distribution}") for name, entry in _plugin_commands().items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(self, context: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(context, args)
        except click.UsageError:
            from tunesmith.errors import choices

            raise click.UsageError(f"no command {args[0]}.\n{choices(args[0], self.list_commands(context))}") from None


def _plugin_commands() -> dict[str, Any]:
    from tunesmith.catalog import Catalog

    return {entry.name: entry for entry in Catalog.discover().entries() if entry.kind == "command"}


def _from_plugin(entry: Any) -> click.Command:
    from tunesmith.catalog import Catalog

    loaded: click.Command = Catalog.discover().load(entry)().command()
    return loaded


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, envvar="TUNESMITH_DEBUG", help="Show the traceback of every error.")
@click.option("--quiet", is_flag=True, help="Show warnings and errors only.")
@click.pass_context
def cli(context: click.Context, debug: bool, quiet: bool) -> None:
    """Fine-tune language models: data in any common format, a trained adapter or model, chat, export.

    \b
    tunesmith train conf/sft_lora.yaml model.path=Qwen/Qwen3-4B adapter.rank=16
    tunesmith chat runs/sft_lora
    tunesmith export runs/sft_lora
    """
    context.obj = {"debug": debug}
    _log_to_stderr(logging.WARNING if quiet else logging.INFO)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        prefix = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        return prefix + super().format(record)


def _log_to_stderr(level: int) -> None:
    logger = logging.getLogger("tunesmith")
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter())
    logger.handlers[:] = [handler]
    logger.setLevel(level if os.environ.get("RANK", "0") == "0" else logging.ERROR)
    logger.propagate = False


def main() -> None:
    """Run the command line. Exit codes: 0, 2 for a user's mistake, 1 for everything else."""
    from tunesmith.errors import TunesmithError

    debug = "--debug" in sys.argv or os.environ.get("TUNESMITH_DEBUG") == "1"
    try:
        result = cli.main(standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except TunesmithError as error:
        if debug:
            import traceback

            traceback.print_exc()
        else:
            click.echo(f"error: {error}", err=True)
        sys.exit(2)
    except BrokenPipeError:  # `tunesmith config schema | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (KeyboardInterrupt, click.Abort) as stop:
        how_to_continue = stop if isinstance(stop, KeyboardInterrupt) else stop.__cause__  # click makes one the other
        click.echo(f"interrupted. {how_to_continue or ''}".strip(), err=True)
        sys.exit(1)
