"""What every distribution of the repository says alike: version, authors, licence, addresses, classifiers.

The root pyproject.toml is the one source; `make generate` copies it. A release changes the version there.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_COPIED = ("license-files", "authors", "classifiers", "urls")


def folders() -> list[Path]:
    """The folders of all distributions, the kernel first."""
    files = sorted([*ROOT.glob("plugins/*/*/pyproject.toml"), *ROOT.glob("contrib/*/pyproject.toml")])
    return [ROOT / "kernel", *(file.parent for file in files)]


def metadata() -> Iterator[tuple[Path, str]]:
    """Every pyproject.toml with what the root one says, and the kernel's `__version__`."""
    common = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for folder in folders():
        file = folder / "pyproject.toml"
        yield file, _with(file.read_text(encoding="utf-8"), common)
    kernel = ROOT / "kernel/tunesmith/__init__.py"
    text = kernel.read_text(encoding="utf-8")
    yield kernel, re.sub(r'(?m)^__version__ = ".*"$', f'__version__ = "{common["version"]}"', text)


def _with(text: str, common: dict[str, object]) -> str:
    """A pyproject.toml with the common values behind its licence, whatever it said of them before.

    Only licences of what others wrote in it stay beside the common one.
    """
    text = re.sub(r'(?m)^version = ".*"$', f'version = "{common["version"]}"', text, count=1)
    own = tomllib.loads(text)["project"].get("license-files", [])
    licences = common["license-files"]
    assert isinstance(licences, list)
    common = {**common, "license-files": [*licences, *(file for file in own if file not in licences)]}
    for name in _COPIED:
        text = re.sub(rf"(?m)^{name} = .*\n", "", text)
    lines = "".join(f"{name} = {_toml(common[name])}\n" for name in _COPIED)
    return re.sub(r'(?m)^(license = ".*"\n)', lambda found: found[1] + lines, text, count=1)


def _toml(value: object) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{name} = {_toml(item)}' for name, item in value.items())} }}"
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, list) else json.dumps(value, ensure_ascii=False)
