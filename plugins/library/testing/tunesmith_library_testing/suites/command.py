"""What every command keeps to."""

from __future__ import annotations

import click
from click.testing import CliRunner

from tunesmith_library_testing.suites.plugin import PluginSuite


class CommandSuite(PluginSuite):
    """The tests of a `command` plugin, whose method `command` gives a click command."""

    kind = "command"

    def command(self) -> click.Command:
        """The command as the command line gets it."""
        made: click.Command = self.make().command()
        return made

    def test_is_a_click_command(self) -> None:
        """The command has the entry point's name, under which it is called, or in one file that of its class."""
        assert isinstance(self.command(), click.Command)
        assert self.command().name == self.name()

    def test_help(self) -> None:
        """`--help` says what the command does, and what each of its options is for."""
        result = CliRunner().invoke(self.command(), ["--help"])
        assert result.exit_code == 0, result.output
        assert self.command().help, "the command's function needs a docstring"
        silent = [item.name for item in self.command().params if isinstance(item, click.Option) and not item.help]
        assert not silent, f"options without help: {', '.join(map(str, silent))}"

    def test_unknown_option(self) -> None:
        """An option that does not exist is an error of usage."""
        assert CliRunner().invoke(self.command(), ["--no-such-option"]).exit_code == 2
