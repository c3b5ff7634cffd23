"""What is generated from the code is up to date."""

import subprocess
import sys
from pathlib import Path

from tunesmith import hookspecs

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "docs/generate.py"


def test_nothing_is_stale() -> None:
    """Hooks, options tables, reference, lists of distributions: `python docs/generate.py` would change nothing."""
    done = subprocess.run([sys.executable, str(PROGRAM), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_hook_is_a_heading() -> None:
    headings = [
        line for line in (ROOT / "docs/hooks.md").read_text(encoding="utf-8").splitlines() if line[:4] == "### "
    ]
    for name, hook in vars(hookspecs).items():
        if hasattr(hook, "tunesmith_spec"):
            assert len([line for line in headings if line.startswith(f"### `{name}(")]) == 1
