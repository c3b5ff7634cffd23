"""The flags of the command, read off the fields of `ServerOptions`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, fields
from typing import Any, get_args, get_type_hints

import click

from .options import ServerOptions


def with_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add a flag for each field to a command, as keyword arguments of the fields' names."""
    types = get_type_hints(ServerOptions)
    for field in reversed(fields(ServerOptions)):
        function = _flag(field, types[field.name])(function)
    return function


def _flag(field: Field[Any], wanted: Any) -> Callable[..., Any]:
    kind = next((each for each in get_args(wanted) if each is not type(None)), wanted)
    several = isinstance(field.default, tuple)
    switch = kind is bool
    return click.option(
        f"--{field.name.replace('_', '-')}",
        field.name,
        help=field.metadata["help"],
        envvar=field.metadata.get("env"),
        metavar=field.metadata.get("metavar"),
        is_flag=switch,
        type=None if switch else kind,
        default=() if several else field.default,
        multiple=several,
        show_default=not switch and not several and field.default is not None,
    )
