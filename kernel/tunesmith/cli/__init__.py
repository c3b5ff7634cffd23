"""The command line: `tunesmith COMMAND`."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # as type checkers know it: importing typing takes longer than all else here
if TYPE_CHECKING:
    from typing import Any

    from tunesmith.cli.group import cli as cli

_VERSION = (["--version"], ["-V"], ["version"])


def main() -> None:
    """Run the command line and end the process; `tunesmith.cli.running` has the exit codes."""
    try:
        code = _run(sys.argv[1:])
    except KeyboardInterrupt:  # before or after there was a command to be interrupted
        print("interrupted.", file=sys.stderr)
        code = 130
    _forget_interruption()
    sys.exit(code)


def _forget_interruption() -> None:
    """See that the process ends with the code that it is told.

    Where Ctrl-C fell into code that was compiled from text, as dataclasses do it, Python ends itself by the signal at
    its end, also when the exception was caught. It forgets that as soon as other such code is run.
    """
    exec("")


def _run(words: list[str]) -> int:
    if words in _VERSION:  # before click is imported, which takes most of the time
        from tunesmith import __version__

        print(f"tunesmith {__version__}")
        return 0
    from tunesmith.cli.running import run

    return run(words)


def __getattr__(name: str) -> Any:
    """`tunesmith.cli.cli`, the click group, is imported when it is asked for."""
    if name != "cli":
        raise AttributeError(f"module 'tunesmith.cli' has no attribute {name!r}")
    from tunesmith.cli.group import cli

    return cli
