"""What a release says of itself: one version everywhere, a changelog that has it, a tag of its name."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def released() -> str:
    """The version that the root pyproject.toml says."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def version(root: Path = ROOT) -> str:
    """Every distribution and the kernel's `__version__` have the version of the root."""
    from packaging.version import Version

    said = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    if str(Version(said)) != said:
        raise ValueError(f"{said} is not in the form of PEP 440: {Version(said)}")
    files = [root / "kernel/pyproject.toml", *sorted(root.glob("plugins/*/*/pyproject.toml"))]
    wrong = [
        str(file.parent.relative_to(root))
        for file in files
        if tomllib.loads(file.read_text(encoding="utf-8"))["project"]["version"] != said
    ]
    if f'__version__ = "{said}"' not in (root / "kernel/tunesmith/__init__.py").read_text(encoding="utf-8"):
        wrong.append("kernel/tunesmith/__init__.py")
    if wrong:
        raise ValueError(f"not {said}: {', '.join(wrong[:5])}; make generate")
    return f"{said} in {len(files)} distributions"


def changelog(root: Path = ROOT) -> str:
    """The newest section is this version's, with its date and something in it; nothing is unreleased."""
    said = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    titles = [section.partition("\n")[0].strip() for section in sections]
    bodies = [section.partition("\n")[2].strip() for section in sections]
    waiting = [body for title, body in zip(titles, bodies, strict=True) if title == "Unreleased" and body]
    if waiting:
        raise ValueError(
            f"{len(waiting[0].splitlines())} lines are under Unreleased: give them the version and its date"
        )
    dated = [(title, body) for title, body in zip(titles, bodies, strict=True) if title != "Unreleased"]
    if not dated or not re.fullmatch(rf"{re.escape(said)} – \d{{4}}-\d\d-\d\d", dated[0][0]):
        raise ValueError(f"the newest section is `{dated[0][0] if dated else 'none'}`, not `{said} – YEAR-MONTH-DAY`")
    if not re.search(r"^[-*|] ?\S", dated[0][1], re.MULTILINE):
        raise ValueError(f"nothing stands under {dated[0][0]}")
    return dated[0][0]


def tag(root: Path = ROOT) -> str:
    """A tag of the present commit is `v` and the version; what stands in the folder is that commit."""
    said = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    tags = _git(root, "tag", "--points-at", "HEAD").split()
    if wrong := [name for name in tags if re.match(r"v\d", name) and name != f"v{said}"]:
        raise ValueError(f"the commit has the tag {wrong[0]}, and the version is {said}")
    if changed := _git(root, "status", "--porcelain").splitlines():
        raise ValueError(f"{len(changed)} files are not committed")
    if f"v{said}" in _git(root, "tag", "--list", f"v{said}").split() and f"v{said}" not in tags:
        raise ValueError(f"v{said} is the tag of another commit: raise the version")
    return f"v{said}" if tags else f"none yet: git tag v{said}"


def _git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout
