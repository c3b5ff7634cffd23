"""`tunesmith plan` and `config`: what a run would be, and where that is written."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tunesmith.cli.arguments import ConfigCommand, configured
from tunesmith.cli.group import Group
from tunesmith.cli.languages import translate
from tunesmith.cli.output import framed, say
from tunesmith.errors import TunesmithError
from tunesmith.kinds import KINDS
from tunesmith.messages import is_quiet
from tunesmith.options import shorthand

if TYPE_CHECKING:
    from tunesmith.compose import Composition
    from tunesmith.planning import Plan
    from tunesmith_library_estimates.machines import Machine
    from tunesmith_library_estimates.planner import Examined, Figures

_for = click.option(
    "--for",
    "command",
    type=click.Choice(["train", "chat", "export", "eval"]),
    help="train by default; of another program's file what it is for.",
)


@click.command(cls=ConfigCommand)
@configured
@_for
@click.option(
    "--gpu", metavar="NAME[xN]", help="Figures for this card, or so many in a machine: rtx4090, h100x8, 24gb."
)
@click.option("--cpu", is_flag=True, help="Figures for a run on this machine's CPU.")
@click.option("--json", "as_json", is_flag=True, help="Problems and figures alone, as JSON: bytes, seconds.")
@click.option("--table", is_flag=True, help="What models of 7B to 70B need by each method; no CONFIG.")
def plan(
    config: str | None,
    overrides: list[str],
    command: str | None,
    gpu: str | None,
    cpu: bool,
    as_json: bool,
    table: bool,
) -> int:
    """Show what would happen, what it needs, and everything that is wrong, without loading anything."""
    from tunesmith.assemble import examine
    from tunesmith.cli.hooks import implementations
    from tunesmith.compose import compose
    from tunesmith.planning import report

    if table:
        return _table(as_json)
    machine = _machine(gpu, cpu)
    made = compose(config, overrides)
    wanted = command or _usual(made)

    def examining(made: Composition) -> Examined:
        with _elsewhere(gpu):
            return examine(made, wanted)

    found, problems, manager = examining(made)
    wrong = any(problem.severity == "error" for problem in problems)

    def examined(more: Sequence[str]) -> Examined:
        return examining(compose(config, [*overrides, *more])) if more else (found, problems, manager)

    if as_json:
        told = {"problems": [{**vars(problem), "key": str(problem.key)} for problem in problems]}
        told |= {} if wrong else _figures(examined, machine).told()
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        if not is_quiet():
            _print_config(found)
            say("\n# hooks, and who implements them; the first is called first")
            for hook, plugins in implementations(manager):
                click.echo(f"{hook}: {', '.join(plugins)}".replace(" (wraps)", translate("… (wraps)")[1:]))
        if not wrong:
            words = [*([config] if config else []), *overrides]
            for line in (*_estimated(examined, machine), *_launched(found, words)):
                say(line)
        for notice in found.notices:
            click.echo(f"\n{framed('note: …', translate(str(notice)))}")
    if not problems:
        say("\nno problems", err=as_json)
        return 0
    say(f"\n{len(problems)} problem{'s' if len(problems) > 1 else ''}:\n\n{report(problems, found.origins)}", err=True)
    return 2 if wrong else 0


def _usual(made: Composition) -> str:
    """The command that a configuration is for, as far as it is said."""
    return "eval" if made.command == "predict" else made.command or "train"


def _estimated(examined: Callable[[Sequence[str]], Examined], machine: Machine | None) -> Iterator[str]:
    """What the run will need, where the library of estimates is installed."""
    if _knows_estimates():
        found = _figures(examined, machine)
        name = found.estimate.machine.name
        yield f"\n# what it needs (estimated){f', on {name}' if name else ''}"
        yield from found.lines()


def _knows_estimates(needed: bool = False) -> bool:
    found = importlib.util.find_spec("tunesmith_library_estimates") is not None
    if needed and not found:
        raise TunesmithError("figures need a library that is not installed.\npip install tunesmith-library-estimates")
    return found


def _machine(gpu: str | None, cpu: bool) -> Machine | None:
    """The machine that was asked for; None for the one at hand."""
    if cpu and gpu is not None:
        raise TunesmithError("--cpu and --gpu are two machines.\nchoose one of them")
    if not cpu and gpu is None:
        return None
    _knows_estimates(needed=True)
    from tunesmith_library_estimates.machines import machine_at_hand, machine_named

    return machine_at_hand(use_cpu=True) if gpu is None else machine_named(gpu)


def _elsewhere(gpu: str | None) -> AbstractContextManager[None]:
    """While entered, the GPUs of this machine do not count where others were named."""
    if gpu is None or importlib.util.find_spec("tunesmith_library_launching") is None:
        return nullcontext()
    from tunesmith_library_launching.devices import elsewhere

    return elsewhere()


def _figures(examined: Callable[[Sequence[str]], Examined], machine: Machine | None) -> Figures:
    _knows_estimates(needed=True)
    from tunesmith_library_estimates.planner import figures

    return figures(examined, machine)


def _table(as_json: bool) -> int:
    """The table of what sizes of models need."""
    _knows_estimates(needed=True)
    from tunesmith_library_estimates import hardware_table

    click.echo(json.dumps(hardware_table.told(), indent=2) if as_json else translate(hardware_table.text()))
    return 0


def _launched(found: Plan, words: list[str]) -> Iterator[str]:
    """How other launchers start the same processes, where the library of launchers is installed."""
    if not found.uses("parallel") or importlib.util.find_spec("tunesmith_library_launching") is None:
        return
    from tunesmith_library_launching.lines import launch_lines

    if found.command == "train":
        yield "\n# the same by another launcher, which has to be installed"
        yield from launch_lines(found, words).values()


@click.group(cls=Group)
def config() -> None:
    """Show the resolved configuration, or its JSON Schema; convert one of another program."""


@config.command(cls=ConfigCommand)
@configured
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
def convert(config: str | None, overrides: list[str], output: Path | None) -> None:
    """Write a configuration, of another program or our own, as one file of ours.

    Each line says where its value came from. Values are as they are written; options that are not stay out.
    """
    from tunesmith.cli.converting import converted
    from tunesmith.compose import compose
    from tunesmith_library_configuration.files import replacing

    text = converted(compose(config, overrides), config or "the command line")
    if output is None:
        click.echo(text, nl=False)
        return
    if output.exists():
        raise TunesmithError(f"{output} exists already.\nremove it, or choose another with --output")
    with replacing(output) as draft:
        draft.write_text(text, encoding="utf-8")
    say(f"done: {output}\n  tunesmith plan {output}")


@config.command(cls=ConfigCommand)
@configured
@_for
def show(config: str | None, overrides: list[str], command: str | None) -> None:
    """Show the resolved configuration with the origin of each value."""
    from tunesmith.assemble import examine
    from tunesmith.compose import compose
    from tunesmith.planning import refuse

    made = compose(config, overrides)
    found, problems, _ = examine(made, command or _usual(made))
    refuse(problems, found.origins)
    _print_config(found)


def _print_config(found: Any) -> None:
    from tunesmith_library_configuration.secrets import redacted

    lines = list(_lines(redacted(found.config), (), found))
    width = min(max((len(text) for text, _ in lines), default=0), 60)
    for text, origin in lines:
        click.echo(f"{text.ljust(width)}  # {translate(origin)}" if origin else text)


def _lines(value: Any, key: tuple[str | int, ...], found: Any, thing: Any = None) -> Iterator[tuple[str, str]]:
    """The configuration as YAML lines, each value with where it was written.

    Args:
        thing: the plugin, or the dataclass in one, that the values belong to: it knows what a plain string stands for.
    """
    items: Any = value.items() if isinstance(value, Mapping) else enumerate(value)
    for name, inner in items:
        place = (*key, name)
        head = "  " * len(key) + ("-" if isinstance(name, int) else f"{name}:")
        if isinstance(inner, Mapping | list) and inner:
            yield head, str(found.origins.get(place, ""))
            yield from _lines(inner, place, found, _part(thing, place, found))
        else:
            short = name == shorthand(type(thing)) and inner is not None and place not in found.origins
            at = key if short else place
            yield f"{head} {json.dumps(inner, ensure_ascii=False)}", str(found.origins.get(at, "default"))


def _part(thing: Any, place: tuple[str | int, ...], found: Any) -> Any:
    """What stands at a place: a plugin for its kind or its name, else a part of the thing that contains the place."""
    if place[0] in KINDS and len(place) == (2 if KINDS[str(place[0])].many else 1):
        return found.plugin(place[0], place[1] if len(place) == 2 else None)
    last: Any = place[-1]
    return thing[last] if isinstance(thing, Mapping | list) else getattr(thing, str(last), None)


@config.command()
@click.option(
    "--vscode",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    is_flag=False,
    flag_value=".",
    help="Write it into FOLDER/.vscode, with settings and run configurations; the current folder by default.",
    metavar="[FOLDER]",
)
def schema(folder: Path | None) -> None:
    """Print the JSON Schema of everything that is installed, for editors and forms.

    With --vscode, Visual Studio Code completes and checks configurations and can debug runs. Settings that are there
    stay as they are, with their comments. Write it again when other plugins are installed.
    """
    if folder is None:
        from tunesmith.cli.schema import config_schema

        click.echo(json.dumps(config_schema(), indent=2, ensure_ascii=False))
        return
    from tunesmith.cli.editors import EXTENSIONS, write_vscode

    for written in write_vscode(folder):
        say(f"done: {written.path}" if written.changed else f"as it was: {written.path}")
    say(f"  extensions that it takes: {', '.join(EXTENSIONS)}")
