"""`tunesmith plugins`: what is installed, and what each plugin is."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING

import click
from tunesmith.catalog import Catalog, Entry, known_distributions
from tunesmith.cli.group import Group, catalog_of, hidden_by_built_in
from tunesmith.cli.languages import translate, translate_prose
from tunesmith.cli.output import framed
from tunesmith.cli.soundness import faults
from tunesmith.cli.trait_words import traits_in_words
from tunesmith.errors import PluginError, TunesmithError, choices
from tunesmith.kinds import KINDS

if TYPE_CHECKING:
    from tunesmith.options import Option


@click.group(cls=Group, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def plugins(context: click.Context, as_json: bool) -> None:
    """List the installed plugins with version, distribution and, where one is broken, its cause."""
    if context.invoked_subcommand:
        return
    catalog = catalog_of(context)
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
    for stray in catalog.strays:
        click.echo(framed("warning: …", translate(str(stray))), err=True)
    if catalog.restriction:
        click.echo(framed("warning: …", translate(catalog.restriction)), err=True)


def _status(catalog: Catalog, entry: Entry) -> str:
    try:
        wrong = faults(entry.kind, catalog.load(entry))
    except TunesmithError as error:
        wrong = [str(error).splitlines()[0]]
    if wrong:
        return f"broken: {'; '.join(wrong)}"
    return f"hidden: {entry.name} is a command of the kernel" if hidden_by_built_in(entry) else "ok"


def _addresses(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """What can be shown, for completion."""
    entries = catalog_of(context).entries()
    names = [*KINDS, *(entry.address for entry in entries), *(entry.name for entry in entries)]
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]


@plugins.command("show")
@click.argument("address", metavar="[KIND.]NAME", shell_complete=_addresses)
@click.pass_context
def show_plugin(context: click.Context, address: str) -> None:
    """Show a plugin: what it does, what it can, and its options; or the plugins of a KIND, or of a NAME that several
    kinds have."""
    catalog = catalog_of(context)
    found = _meant(catalog, address)
    if isinstance(found, Entry):
        _show(catalog, found)
        return
    from tunesmith.cli.tables import print_table

    rows = [(entry.address, entry.origin, _summary(catalog, entry)) for entry in found]
    print_table(("plugin", "distribution", ""), rows)


def _meant(catalog: Catalog, address: str) -> Entry | list[Entry]:
    """The plugin that a user means, or those that it can be.

    Raises: TunesmithError when there is none.
    """
    kind, separator, name = address.partition("=" if "=" in address else ".")
    if separator and kind in KINDS:
        return catalog.find(kind, name)
    installed = catalog.entries()
    of, colon, plain = address.rpartition(":")  # acme:console
    offered = [entry for entry in installed if entry.name == plain and f"{entry.distribution}-".startswith(f"{of}-")]
    if colon and offered:
        return offered[0] if len(offered) == 1 else offered
    if of.endswith(".py") or address.endswith(".py"):
        raise PluginError(f"{address} is a file: of what kind is the plugin?\nwrite KIND=FILE, like loss={address}")
    found = [entry for entry in installed if address in (entry.kind, entry.name)]
    kinds = {entry.kind for entry in found}
    if len(kinds) == 1 and address not in kinds:
        return catalog.find(found[0].kind, address)
    if found:
        return found
    known = {key.partition(".")[2]: distribution for key, distribution in known_distributions().items()}
    if any(key.partition(".")[2] == address for key in catalog.hidden):
        raise PluginError(f"{address} is installed, but hidden.\n{catalog.restriction}")
    if address in known:
        raise PluginError(f"{address} is not installed.\npip install {known[address]}")
    names = {*KINDS, *known, *(entry.name for entry in installed)}
    raise PluginError(f"no plugin is called {address}.\n{choices(address, names, 'installed or known')}")


def _show(catalog: Catalog, entry: Entry) -> None:
    from tunesmith.cli.tables import print_table
    from tunesmith.options import options

    cls = catalog.load(entry)
    click.echo(f"{entry.address}  ({entry.origin})\n\n{translate_prose(inspect.getdoc(cls) or '')}\n")
    traits = traits_in_words(entry.kind, cls)
    if traits:
        click.echo(f"{traits}\n")
    rows = [(option.name, _type(option), option.default_text, translate(option.doc)) for option in options(cls)]
    if rows:
        print_table(("option", "type", "default", ""), rows)


def _type(option: Option) -> str:
    """The type of an option, its range in words: `int, from 1 to 8`."""
    return ", ".join(translate(part) for part in option.type_name.split(", "))


def _summary(catalog: Catalog, entry: Entry) -> str:
    try:
        return translate((inspect.getdoc(catalog.load(entry)) or "").partition("\n")[0])
    except TunesmithError as error:
        return translate(f"broken: {str(error).splitlines()[0]}")
