"""The tables in docs/hardware.md, as `tunesmith plan --table` has them.

`python docs/hardware_table.py` writes them; `--check` writes nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tunesmith_library_estimates.hardware_table import markdown

PAGE = Path(__file__).resolve().parent / "hardware.md"
_START, _END = "<!-- table -->", "<!-- /table -->"


def page() -> str:
    """The page with its tables anew."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_START)
    return f"{before}{_START}\n\n{markdown()}\n\n{_END}{rest.partition(_END)[2]}"


def main(check: bool) -> int:
    """Write the page, or only say that it is stale."""
    text = page()
    if PAGE.read_text(encoding="utf-8") == text:
        return 0
    if check:
        print("stale, run make generate: docs/hardware.md")
        return 1
    PAGE.write_text(text, encoding="utf-8")
    print("written: docs/hardware.md")
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
