"""What several commands share: a configuration and its overrides as arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from tunesmith.errors import TunesmithError


class ConfigCommand(click.Command):
    """A command that takes CONFIG and KEY=VALUE, also as flags; its help lists the kinds with what is installed of
    each."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        from tunesmith.cli.flags import with_overrides

        own = [name for parameter in self.get_params(context) for name in parameter.opts if name.startswith("--")]
        return super().parse_args(context, with_overrides(args, own))

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        from tunesmith.catalog import Catalog
        from tunesmith.kinds import KINDS

        catalog = Catalog.discover()
        rows = []
        for kind in KINDS.values():
            if kind.how_many != "installed":
                names = ", ".join(catalog.names(kind.name)) or "none installed"
                rows.append((kind.name, names))
        with formatter.section("Keys, and the installed plugins to choose from"):
            formatter.write_dl(rows)
        formatter.write_paragraph()
        formatter.write_text("tunesmith plugins show KIND.NAME lists the options of one.")
        formatter.write_text("KEY=VALUE may be a flag: --adapter.rank 16.")


def configured(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the arguments `[CONFIG] [KEY=VALUE]…` to a command, as `config` and `overrides`."""

    def call(words: tuple[str, ...], **options: Any) -> Any:
        plain = [word for word in words if "=" not in word]
        if len(plain) > 1:
            raise TunesmithError(
                f"one configuration is possible, got {len(plain)}: {', '.join(plain)}\n"
                "write overrides as key=value, and a question for chat as -m QUESTION"
            )
        config = plain[0] if plain else None
        return function(config=config, overrides=[word for word in words if "=" in word], **options)

    call.__doc__ = function.__doc__
    call.__name__ = function.__name__
    return click.argument("words", nargs=-1, metavar="[CONFIG] [KEY=VALUE]...")(_keep_params(function, call))


def _keep_params(function: Callable[..., Any], call: Callable[..., Any]) -> Callable[..., Any]:
    """Options that were declared below `configured` stay declared."""
    call.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    return call
