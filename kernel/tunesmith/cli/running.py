"""Running a command: how errors read, and what the exit code says.

The codes are `CODES`; `tunesmith --help` lists them.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

import click
from tunesmith.cli.ending import Terminated, disks_in_words, ended_in_order, heard_in_imports
from tunesmith.cli.group import cli
from tunesmith.cli.languages import language, translate
from tunesmith.cli.output import Output, framed, say
from tunesmith.errors import Interrupted, TunesmithError, WorkersFailed, choices
from tunesmith_library_configuration.secrets import hidden

DONE, CRASHED, MISTAKEN = 0, 1, 2
INTERRUPTED = 128 + signal.SIGINT  # as shells have it
PIPE_CLOSED = 128 + 13  # SIGPIPE, which Windows does not have


def run(words: Sequence[str]) -> int:
    """Run a command line.

    Args:
        words: the arguments, without the program's name.

    Returns: the exit code.
    Raises: what is neither a user's mistake nor an interruption, for Python to print with its traceback (code 1).
    """
    output = Output(debug=os.environ.get("TUNESMITH_DEBUG") == "1")
    try:
        with ended_in_order(), heard_in_imports(), disks_in_words(), _context(words, output) as context:
            result = context.command.invoke(context)
        return result if isinstance(result, int) else DONE
    except Terminated as stop:
        say("terminated.", err=True)
        return 128 + stop.number
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        _tell_usage(error)
        return MISTAKEN if error.exit_code == CRASHED else error.exit_code
    except WorkersFailed as failure:
        return failure.code
    except TunesmithError as error:
        if output.debug:
            import traceback

            click.echo(hidden(traceback.format_exc()), err=True, nl=False)
        else:
            _tell(str(error))
        return MISTAKEN
    except BrokenPipeError:  # `tunesmith config schema | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except Interrupted as stop:
        say(f"interrupted. {stop}", err=True)
        return stop.code
    except (KeyboardInterrupt, click.Abort):
        say("interrupted.", err=True)
        return INTERRUPTED


def _context(words: Sequence[str], output: Output) -> click.Context:
    command: click.Command = cli
    if language() != "en":
        from tunesmith.cli.localized import localize

        command = localize(cli)
    return command.make_context("tunesmith", list(words), obj=output)


def _tell(message: str) -> None:
    """Print an error: what is wrong, and indented below it what to do. A report of several is indented already."""
    first, *rest = translate(hidden(message)).splitlines() or [""]
    if "" not in rest:
        rest = [line if line.startswith(" ") else f"  {line}" for line in rest]
    click.echo("\n".join([framed("error: …", first), *rest]), err=True)


def _tell_usage(error: click.ClickException) -> None:
    """Print an error of click in our words."""
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if message.startswith("Usage:"):  # a group without a command: its help
        click.echo(message, err=True)
        return
    lines = [message[:1].lower() + message[1:]]
    if isinstance(error, click.NoSuchOption) and context:
        shown = [item for item in context.command.get_params(context) if not getattr(item, "hidden", False)]
        names = [name for item in shown for name in item.opts if name[:1] == "-"]
        lines = [f"{context.command_path} has no option {error.option_name}.", choices(error.option_name, names)]
    if isinstance(error, click.UsageError) and context:
        lines.append(f"{context.command_path} --help")
    _tell("\n".join(lines))
