"""The wheels of a release: built, and what they say of themselves."""

from __future__ import annotations

import email
import subprocess
import sys
import zipfile
from email.message import Message
from pathlib import Path

ROOT = Path(__file__).parents[2]


def projects() -> list[Path]:
    """The folders of all distributions that are released."""
    return [ROOT / "kernel", *(file.parent for file in sorted(ROOT.glob("plugins/*/*/pyproject.toml"))), ROOT]


def build(dist: Path) -> str:
    """Every distribution as a wheel, into a folder that has nothing else; pure Python needs no sdist beside it."""
    dist.mkdir(parents=True, exist_ok=True)
    for old in dist.glob("*.whl"):
        old.unlink()
    for project in projects():
        command = [sys.executable, "-m", "uv", "build", "--quiet", "--wheel", "--out-dir", str(dist), str(project)]
        subprocess.run(command, check=True, capture_output=True, text=True)
    wheels = list(dist.glob("*.whl"))
    return f"{len(wheels)} of them, {sum(wheel.stat().st_size for wheel in wheels) / 1e6:.1f} MB"


def metadata_of(wheel: Path) -> Message:
    """What a wheel says of itself, after looking at what is in it.

    Raises: ValueError where it lacks its licence or types, or has in it what it should not.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (described,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(described))
        licences = [archive.read(name) for name in names if name.endswith("/licenses/LICENSE")]
    if licences != [(ROOT / "LICENSE").read_bytes()] or metadata["License-Expression"] != "Apache-2.0":
        raise ValueError(f"{wheel.name} does not carry its licence")
    if strange := [name for name in names if "/tests/" in name or name.endswith((".pyc", ".orig", "~"))]:
        raise ValueError(f"{wheel.name} has {strange[0]} in it")
    if not any(name.endswith("/py.typed") for name in names) and not wheel.name.startswith("tunesmith_suite"):
        raise ValueError(f"{wheel.name} has no py.typed")
    return metadata


def described(dist: Path) -> str:
    """One version, addresses, a description, and a Python that all of them need."""
    found = [metadata_of(wheel) for wheel in sorted(dist.glob("*.whl"))]
    if len(found) != len(projects()):
        raise ValueError(f"{len(found)} wheels of {len(projects())} distributions in {dist}")
    for name in ("Version", "Requires-Python", "Author"):
        said = {str(metadata[name]) for metadata in found}
        if len(said) != 1 or said == {"None"}:
            raise ValueError(f"{name} differs: {', '.join(sorted(said))}")
    for metadata in found:
        labels = {url.partition(",")[0] for url in metadata.get_all("Project-URL") or ()}
        if not labels >= {"Homepage", "Documentation", "Issues", "Changelog"} or not metadata["Summary"]:
            raise ValueError(f"{metadata['Name']} lacks addresses or a description")
    return f"version {found[0]['Version']}, Python {found[0]['Requires-Python']}, Apache-2.0"


def twine(dist: Path) -> str:
    """What the index would refuse, as twine knows it."""
    wheels = [str(wheel) for wheel in sorted(dist.glob("*.whl"))]
    command = [sys.executable, "-m", "uv", "tool", "run", "--quiet", "twine", "check", "--strict", *wheels]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return f"{len(wheels)} pass"
