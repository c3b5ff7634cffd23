"""`tunesmith train`, `chat` and `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from tunesmith.cli.arguments import ConfigCommand, configured
from tunesmith.cli.output import report_to_stdout, say
from tunesmith.errors import RESUMABLE, Interrupted, TunesmithError
from tunesmith.messages import is_quiet


@click.command(cls=ConfigCommand)
@configured
@click.option("--launched", is_flag=True, hidden=True)  # by the command itself, which tells how it ended
def train(config: str | None, overrides: list[str], launched: bool) -> int | None:
    """Train a model.

    CONFIG is a YAML file, or the folder of a run to repeat. resume=true continues an interrupted run.
    """
    import tunesmith
    from tunesmith_library_configuration.launchers import is_main_process

    report_to_stdout()
    try:
        folder = tunesmith.train(config, overrides)
    except Interrupted as stop:
        if not launched or (stop.code != RESUMABLE and is_main_process()):  # the launcher tells of the others
            raise
        return stop.code
    if is_main_process() and not launched:
        possible = [] if is_quiet() else [command for command in ("chat", "export") if _can(command, folder)]
        say("\n".join([f"done: {folder}", *(f"  tunesmith {command} {folder}" for command in possible)]))
    return None


def _can(command: str, folder: Path) -> bool:
    """Whether all that a command needs for a run is installed, and nothing is wrong with it."""
    import tunesmith

    try:
        _, problems = tunesmith.plan(folder, command=command)
    except TunesmithError:
        return False
    return not any(problem.severity == "error" for problem in problems)


@click.command(cls=ConfigCommand)
@configured
@click.option(
    "-m", "--message", "messages", multiple=True, help="Ask this and stop; several are separate conversations."
)
@click.option("--system", help="A system message.")
@click.option("--image", multiple=True, type=Path, help="An image that --message is about.")
@click.option("--video", multiple=True, type=Path, help="A video that --message is about.")
@click.option("--audio", multiple=True, type=Path, help="A sound that --message is about.")
@click.option("--verbose", is_flag=True, help="Tell tokens and tokens/s on stderr.")
@click.option("--history", type=Path, help="File to keep what is entered at the terminal in; without it, nowhere.")
@click.option("--bare-words", is_flag=True, help="In the terminal `clear` and `exit` mean /clear and /exit.")
def chat(config: str | None, overrides: list[str], messages: tuple[str, ...], system: str | None, **how: Any) -> None:
    """Talk to a model.

    CONFIG is a run's folder, or a YAML file that names a model. Without --message it reads questions from the
    terminal: /help lists what else can be entered there, /clear starts anew, /exit ends.
    """
    import tunesmith

    with tunesmith.ChatSession(config, overrides) as session:
        from tunesmith_library_engine import conversing, showing

        media = [showing.Medium(kind, file) for kind in showing.MEDIA for file in how.pop(kind)]
        if messages:
            conversing.ask_all(session, messages, system=system, media=media, verbose=how["verbose"])
        elif media:
            kind = media[0].kind
            raise TunesmithError(f"--{kind} goes with --message.\nin the conversation: /{kind} PATH")
        else:
            conversing.converse(session, system=system, **how)


@click.command(cls=ConfigCommand)
@configured
@click.option("-o", "--output", "output_dir", type=click.Path(), help="Folder to write; RUN-EXPORTER by default.")
def export(config: str | None, overrides: list[str], output_dir: str | None) -> None:
    """Write the finished model of a run.

    CONFIG is a run's folder; exporter=NAME chooses the form, exporter=[merged,adapter] several.
    """
    import tunesmith

    report_to_stdout()
    for written in tunesmith.exports(config, overrides, output_dir=output_dir):
        say(f"done: {written}")
