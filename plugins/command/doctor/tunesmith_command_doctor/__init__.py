"""Two commands: `tunesmith doctor`, what is wrong with an installation; `tunesmith env`, its other name."""

from __future__ import annotations

from typing import Any

from tunesmith import plugin


@plugin
class Doctor:
    """Say what is wrong with this installation, and what a bug report needs to know of it."""

    def command(self) -> Any:
        """The click command; what it needs is imported when it is called."""
        return _command("doctor")


@plugin
class Env:
    """The same as `tunesmith doctor`, by the name that LLaMA-Factory has for it."""

    def command(self) -> Any:
        """The click command; what it needs is imported when it is called."""
        return _command("env")


def _command(name: str) -> Any:
    import click

    @click.command(name)
    @click.option("--device", is_flag=True, help="Import torch, too, and ask it for the devices; takes seconds.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    def command(device: bool, as_json: bool) -> None:
        """Say what is wrong with this installation, and what a bug report needs to know of it.

        What is wrong comes first, each with what to do; then versions, hardware, disks, caches and settings. Nothing is
        changed, and nobody is asked over the network. Secrets are not shown, and your home folder is ~. The exit code
        is 1 where something is wrong.

        \b
        tunesmith doctor
        tunesmith doctor --device --json > doctor.json
        """
        from tunesmith_command_doctor.report import examined

        report = examined(device)
        click.echo(report.as_json() if as_json else report.as_text())
        if report.wrong:
            raise SystemExit(1)

    return command
