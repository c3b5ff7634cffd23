"""The command line: `tunesmith COMMAND`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunesmith.cli.group import cli as cli

_VERSION = (["--version"], ["-V"], ["version"])


def main() -> None:
    """Run the command line and end the process; `tunesmith.cli.running` has the exit codes."""
    if sys.argv[1:] in _VERSION:  # before click is imported, which takes most of the time
        from tunesmith import __version__

        print(f"tunesmith {__version__}")
        sys.exit()
    from tunesmith.cli.running import run

    sys.exit(run(sys.argv[1:]))


def __getattr__(name: str) -> Any:
    """`tunesmith.cli.cli`, the click group, is imported when it is asked for."""
    if name != "cli":
        raise AttributeError(f"module 'tunesmith.cli' has no attribute {name!r}")
    from tunesmith.cli.group import cli

    return cli
