"""`tunesmith new KIND NAME`: the command that writes a plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith import plugin


@plugin
class New:
    """Write a new plugin: a complete distribution with README and tests that pass."""

    def command(self) -> Any:
        """The click command; what it needs is imported when it is called."""
        import click
        from tunesmith.cli.output import say
        from tunesmith.kinds import KINDS

        @click.command("new", epilog=f"KIND is one of: {', '.join(KINDS)}.")
        @click.argument("kind", metavar="KIND")
        @click.argument("name", metavar="NAME")
        @click.option("-C", "--directory", type=click.Path(path_type=Path), default=Path(), help="Where to write it.")
        def command(kind: str, name: str, directory: Path) -> None:
            """Write a new plugin: a complete distribution with README and passing tests."""
            from tunesmith_library_testing.scaffold import create

            folder = create(kind, name, directory)
            say(f"wrote {folder}\n  pip install -e {folder}\n  python -m pytest {folder}")
            click.echo(f"  tunesmith plugins show {kind}.{name}")

        return command
