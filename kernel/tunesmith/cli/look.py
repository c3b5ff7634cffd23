"""`tunesmith plan`, `config` and `plugins`: what is configured and what is installed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

import click
from tunesmith.cli.arguments import ConfigCommand, configured
from tunesmith.errors import TunesmithError
from tunesmith.kinds import KINDS
from tunesmith.options import shorthand


@click.command(cls=ConfigCommand)
@configured
@click.option("--for", "command", type=click.Choice(["train", "chat", "export"]), default="train", show_default=True)
def plan(config: str | None, overrides: list[str], command: str) -> int:
    """Show what would happen, and everything that is wrong, without loading anything."""
    from tunesmith.assemble import examine
    from tunesmith.compose import compose
    from tunesmith.planning import report
    from tunesmith.wiring import implementations

    found, problems, manager = examine(compose(config, overrides), command)
    _print_config(found)
    click.echo("\n# hooks, and who implements them; the first is called first")
    for hook, plugins in implementations(found, manager):
        click.echo(f"{hook}: {', '.join(plugins)}")
    for notice in found.notices:
        click.echo(f"\nnote: {notice}")
    if not problems:
        click.echo("\nno problems")
        return 0
    click.echo(
        f"\n{len(problems)} problem{'s' if len(problems) > 1 else ''}:\n\n{report(problems, found.origins)}", err=True
    )
    return 2 if any(problem.severity == "error" for problem in problems) else 0


@click.group()
def config() -> None:
    """Show the resolved configuration, or its JSON Schema."""


@config.command(cls=ConfigCommand)
@configured
def show(config: str | None, overrides: list[str]) -> None:
    """Show the resolved configuration with the origin of each value."""
    from tunesmith.assemble import examine
    from tunesmith.compose import compose
    from tunesmith.planning import refuse

    found, problems, _ = examine(compose(config, overrides), "train")
    refuse(problems, found.origins)
    _print_config(found)


def _print_config(found: Any) -> None:
    from tunesmith.runs import redacted

    lines = list(_lines(redacted(found.config), (), found))
    width = min(max((len(text) for text, _ in lines), default=0), 60)
    for text, origin in lines:
        click.echo(f"{text.ljust(width)}  # {origin}" if origin else text)


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
            at = key if name == shorthand(type(thing)) and place not in found.origins else place
            yield f"{head} {json.dumps(inner, ensure_ascii=False)}", str(found.origins.get(at, "default"))


def _part(thing: Any, place: tuple[str | int, ...], found: Any) -> Any:
    """What stands at a place: a plugin for its kind or its name, else a part of the thing that contains the place."""
    if place[0] in KINDS and len(place) == (2 if KINDS[str(place[0])].many else 1):
        return found.plugin(place[0], place[1] if len(place) == 2 else None)
    last: Any = place[-1]
    return thing[last] if isinstance(thing, Mapping | list) else getattr(thing, str(last), None)


@config.command()
def schema() -> None:
    """Print the JSON Schema of everything that is installed, for editors and forms."""
    from tunesmith.schema import config_schema

    click.echo(json.dumps(config_schema(), indent=2, ensure_ascii=False))


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def plugins(context: click.Context, as_json: bool) -> None:
    """List the installed plugins with version, distribution and, where one is broken, its cause."""
    if context.invoked_subcommand:
        return
    from tunesmith.catalog import Catalog

    catalog = Catalog.discover()
    rows = [
        {
            "kind": entry.kind,
            "name": entry.name,
            "version": entry.version,
            "distribution": entry.distribution,
            "status": _status(catalog, entry),
        }
        for entry in catalog.entries()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    from tunesmith.cli.tables import print_table

    print_table(("kind", "name", "version", "distribution", "status"), [tuple(row.values()) for row in rows])


def _status(catalog: Any, entry: Any) -> str:
    try:
        catalog.load(catalog.find(entry.kind, entry.name))
    except TunesmithError as error:
        return f"broken: {str(error).splitlines()[0]}"
    return "ok"


@plugins.command("show")
@click.argument("address", metavar="KIND.NAME")
def show_plugin(address: str) -> None:
    """Show one plugin: what it does and its options."""
    import inspect

    from tunesmith.catalog import Catalog
    from tunesmith.cli.tables import print_table
    from tunesmith.errors import choices
    from tunesmith.options import options

    kind, _, name = address.partition(".")
    if kind not in KINDS or not name:
        raise TunesmithError(f"{address!r} is not KIND.NAME.\n{choices(kind, KINDS, 'kinds')}")
    catalog = Catalog.discover()
    entry = catalog.find(kind, name)
    cls = catalog.load(entry)
    click.echo(f"{address}  ({entry.origin})\n\n{inspect.getdoc(cls)}\n")
    traits = getattr(cls, "traits", None)
    if traits is not None:
        click.echo(f"can: {_capable(traits)}\n")
    rows = [(option.name, option.type_name, option.default_text, option.doc) for option in options(cls)]
    if rows:
        print_table(("option", "type", "default", ""), rows)


def _capable(traits: Any) -> str:
    """A plugin's `traits` in one line: `bits 4, 8; devices cpu, cuda; trains; not merges`."""
    parts = []
    for item in dataclasses.fields(traits):
        value = getattr(traits, item.name)
        if isinstance(value, bool):
            parts.append(item.name if value else f"not {item.name}")
        else:
            parts.append(f"{item.name} {', '.join(map(str, value))}")
    return "; ".join(parts)
