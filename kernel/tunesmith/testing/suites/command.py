"""What every command keeps to."""

from __future__ import annotations

from typing import ClassVar

import click
from click.testing import CliRunner

from tunesmith.testing.suites.plugin import DistributionSuite


class CommandSuite(DistributionSuite):
    """The tests of a `command` plugin: its entry point names a click command."""

    kind = "command"
    plugin: ClassVar[click.Command]

    def test_is_a_click_command(self) -> None:
        """The entry point names a command that has the entry point's name."""
        assert isinstance(self.plugin, click.Command)
        assert self.plugin.name == self.entry_point().name.replace("_", "-")

    def test_help(self) -> None:
        """`--help` says what the command does, and what each of its options is for."""
        result = CliRunner().invoke(self.plugin, ["--help"])
        assert result.exit_code == 0, result.output
        assert self.plugin.help, "the command's function needs a docstring"
        silent = [item.name for item in self.plugin.params if isinstance(item, click.Option) and not item.help]
        assert not silent, f"options without help: {', '.join(str(name) for name in silent)}"

    def test_unknown_option(self) -> None:
        """An option that does not exist is an error of usage."""
        assert CliRunner().invoke(self.plugin, ["--no-such-option"]).exit_code == 2
