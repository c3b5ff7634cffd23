"""What cannot be served so, told at once and before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import fields
from pathlib import Path
from urllib.parse import urlsplit

from tunesmith.errors import ConfigError, TunesmithError, choices

from .adapters import adapters_of
from .guarding import check_key, refuse_open
from .options import ServerOptions


def check_options(options: ServerOptions) -> dict[str, Path]:
    """The adapters that are to be loaded, by name.

    Raises: ConfigError that lists all problems.
    """
    found: dict[str, Path] = {}
    problems = [*_small(options), *_places(options)]
    try:
        found = adapters_of(options.adapter)
    except TunesmithError as error:
        problems.append(str(error))
    try:
        check_key(options.api_key)
        refuse_open(options.host, options.api_key, options.insecure)
    except TunesmithError as error:
        problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return found


def refuse_unknown(given: Collection[str]) -> None:
    """Raises: ConfigError that lists the names that are no options."""
    possible = [field.name for field in fields(ServerOptions)]
    if unknown := [name for name in given if name not in possible]:
        raise ConfigError(
            "\n".join(f"{name} is no option of a server.\n  {choices(name, possible)}" for name in unknown)
        )


MESSAGES = (
    "--{flag} {value}: it is a number of at least {least}",
    "--{flag} {folder}: there is no such folder",
)
"""What `_small` and `_places` say first."""


def _small(options: ServerOptions) -> Iterator[str]:
    """Numbers below what makes sense, those without end, and what is none."""
    for field in fields(options):
        value, least = getattr(options, field.name), field.metadata.get("least")
        if least is None or value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < math.inf:
            yield f"--{field.name.replace('_', '-')} {value}: it is a number of at least {least}"


def _places(options: ServerOptions) -> Iterator[str]:
    """Folders that are not there, and what is no site or host."""
    named = [("--allow-adapters", options.allow_adapters)] if options.allow_adapters is not None else []
    for flag, folder in [*named, *(("--allow-media-path", each) for each in options.allow_media_path)]:
        if not Path(folder).is_dir():
            yield f"{flag} {folder}: there is no such folder"
    for origin in options.allow_origin:
        parts = urlsplit(origin)
        if origin not in ("*", "null") and not (parts.scheme and parts.netloc and not parts.path):
            yield f"--allow-origin {origin}: it is a site as browsers name it, such as https://example.org, or *"
    for host in (*options.allow_host, *options.allow_media_host):
        if "//" in host or not host.strip():
            yield f"--allow-host, --allow-media-host {host}: it is a name alone, such as example.org"
