"""`tunesmith train`, `chat` and `export`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from tunesmith.cli.arguments import ConfigCommand, configured
from tunesmith.cli.output import report_to_stdout
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
    from tunesmith.runs import is_main_process

    report_to_stdout()
    try:
        folder = tunesmith.train(config, overrides)
    except Interrupted as stop:
        if not launched or (stop.code != RESUMABLE and is_main_process()):  # the launcher tells of the others
            raise
        return stop.code
    if is_main_process() and not launched:
        possible = [] if is_quiet() else [command for command in ("chat", "export") if _can(command, folder)]
        click.echo("\n".join([f"done: {folder}", *(f"  tunesmith {command} {folder}" for command in possible)]))
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
@click.option("--bare-words", is_flag=True, help="In the terminal `clear` and `exit` mean /clear and /exit.")
def chat(
    config: str | None, overrides: list[str], messages: tuple[str, ...], system: str | None, bare_words: bool
) -> None:
    """Talk to a model.

    CONFIG is a run's folder, or a YAML file that names a model. Without --message it reads questions from the
    terminal: /clear starts anew, /exit ends.
    """
    import tunesmith

    session = tunesmith.ChatSession(config, overrides)
    start = [{"role": "system", "content": system}] if system else []
    if messages:
        _ask_all(session, start, messages)
    else:
        _converse(session, start, "" if bare_words else "/")


def _ask_all(session: Any, start: list[dict[str, Any]], questions: tuple[str, ...]) -> None:
    answers = [""] * len(questions)
    for piece in session.answer([[*start, {"role": "user", "content": question}] for question in questions]):
        answers[piece.index] += piece.text
    for question, answer in zip(questions, answers, strict=True):
        click.echo(f"{click.style('>', bold=True)} {question}\n{answer}\n")


def _converse(session: Any, start: list[dict[str, Any]], mark: str) -> None:
    """Answer what the terminal says; `mark` is what may stand before `clear` and `exit`, as a slash always may."""
    history = list(start)
    while True:
        question = _read_line()
        if question in (None, "/exit", f"{mark}exit"):
            return
        if question in ("/clear", f"{mark}clear"):
            history = list(start)
            continue
        if not question:
            continue
        history.append({"role": "user", "content": question})
        answer = ""
        for piece in session.answer([history]):
            answer += piece.text
            click.echo(piece.text, nl=False)
        click.echo()
        history.append({"role": "assistant", "content": answer})


def _read_line() -> str | None:
    """The next question; None at the end of the input."""
    prompt = "> " if sys.stdin.isatty() else ""
    try:
        return input(prompt).strip()
    except EOFError:
        return None


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
        click.echo(f"done: {written}")
