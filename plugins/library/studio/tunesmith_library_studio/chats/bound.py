"""A program that ends with the one that started it, however that ends: `python -m …bound PARENT PROGRAM ARGUMENT…`.

The bond is made in the new process itself: between fork and exec nothing of Python is safe where threads run.
"""

from __future__ import annotations

import os
import sys

from tunesmith_library_configuration.owners import end_with_parent


def main() -> None:
    """Bind this process, and become the program."""
    end_with_parent(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
