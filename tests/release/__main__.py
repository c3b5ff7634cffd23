"""Whether a release is ready: `make release-check`. A table of what was checked; exit code 1 where something is not.

python tests/release [--dist FOLDER] [--extras default all] [--sets lowest newest] [--only NAME …]

Version, changelog, generated files, wheels and what they say of themselves; then, for each extra and each set of
`tests/versions`, a fresh environment from the wheels, in which a tiny model is trained, asked and exported. A torch
with a label (`2.13.0+cpu`) is taken where a wheel folder (UV_FIND_LINKS, PIP_FIND_LINKS) has one, else the index's.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "docs/tools")]

from installing import installed  # noqa: E402
from saying import changelog, tag, version  # noqa: E402
from wheels import build, described, twine  # noqa: E402

Check = Callable[[], str]
"""Says what is so, and raises ValueError or CalledProcessError where that will not do."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="folder of the wheels, which are built anew")
    parser.add_argument("--extras", nargs="*", default=["default", "all"], help="of tunesmith-suite")
    parser.add_argument("--sets", nargs="*", default=["lowest", "newest"], help="of versions")
    parser.add_argument("--only", nargs="*", default=[], help="beginnings of names of checks")
    options = parser.parse_args()
    rows = []
    for name, check in checks(options.dist.resolve(), options.extras, options.sets):
        if options.only and not name.startswith(tuple(options.only)):
            continue
        began = time.monotonic()
        try:
            row = ("ok", name, check())
        except (ValueError, OSError) as error:
            row = ("WRONG", name, str(error))
        except subprocess.CalledProcessError as error:
            row = ("WRONG", name, f"{' '.join(map(str, error.cmd))[:80]} …: {(error.stderr or '').strip()[-300:]}")
        rows.append(row)
        print(f"{row[0]:5}  {row[1]:18}  {time.monotonic() - began:4.0f} s  {row[2]}", flush=True)
    sys.exit(any(row[0] != "ok" for row in rows))


def checks(dist: Path, extras: list[str], sets: list[str]) -> Iterator[tuple[str, Check]]:
    """All of them by name, the quick ones first."""
    yield "version", version
    yield "changelog", changelog
    yield "tag", tag
    yield "generated", lambda: _ran("docs/tools/generate.py", "--check")
    yield "wheels", lambda: build(dist)
    yield "metadata", lambda: described(dist)
    yield "twine", lambda: twine(dist)
    for extra in extras:
        for chosen in sets:
            yield f"{extra}, {chosen}", lambda extra=extra, chosen=chosen: installed(dist, extra, chosen)


def _ran(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stdout.strip().replace("\n", "; ")[:300] or done.stderr.strip()[-300:])
    return "what is read off the code is up to date"


if __name__ == "__main__":
    main()
