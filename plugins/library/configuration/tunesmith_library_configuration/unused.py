"""Options that were typed for a command that has no use of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from tunesmith_library_configuration.keys import Origins


def unused(origins: Origins, named: Collection[str], used: Collection[str], command: str) -> Iterator[str]:
    """What to say of options that change nothing; those of a file may be there for another command.

    Args:
        named: the keys of a configuration that hold options of things.
        used: those of them that the command uses.
    """
    typed = [key for key, origin in origins.items() if origin.source == "command line"]
    for name in (name for name in named if name not in used):
        inside = [key for key in typed if key[0] == name]
        keys = [str(key) for key in inside if not any(other != key and other.within(key) for other in inside)]
        if keys:
            yield f"{', '.join(keys)}: not used, for tunesmith {command} has no {name}"
