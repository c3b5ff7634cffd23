"""A command: `tunesmith env`, what a bug report needs to know of an installation."""

from __future__ import annotations

from typing import Any

from tunesmith import plugin


@plugin
class Env:
    """Show versions and hardware, for a bug report."""

    def command(self) -> Any:
        """The click command; what it needs is imported when it is called."""
        import click

        @click.command("env")
        def command() -> None:
            """Show versions and hardware, for a bug report.

            The libraries are those that the installed plugins ask for.
            """
            from tunesmith_command_env.reading import facts

            for name, value in facts():
                click.echo(f"{name}: {value}")

        return command
