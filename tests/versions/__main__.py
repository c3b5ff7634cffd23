"""The quick tests with other versions than those of constraints.txt: `make versions SET=lowest` or `SET=newest`.

python tests/versions SET [--venv FOLDER] [--override NAME==VERSION …] [--install-only] [arguments of pytest …]

`lowest` takes what the pyproject.toml files name as the least, `newest` what the index has; what others ask for
follows. A fresh environment has the libraries of the set and everything of this repository, editable; the versions are
written to `tests/versions/SET.txt`, which `tunesmith doctor` shows as what was tested. Torch may be replaced by what is
at hand (`--override torch==2.13.0+cpu`): the index has it with CUDA only, which is several gigabytes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXTRAS = ("testing", "run", "zero", "gguf", "accelerators")
"""Extras that quick tests use; the others bring programs of slow ones, and what needs a GPU."""

TOOLS = (
    "pytest",
    "pytest-xdist",
    "mypy",
    "ruff",
    "uv",
    "mkdocs-material",
    "mkdocs-static-i18n",
    "mkdocstrings",
    "types-pyyaml",
)
"""What checks and is not checked: in the versions of constraints.txt in every set."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=("lowest", "newest"))
    parser.add_argument("--venv", type=Path, help="folder of the environment; by default .venv-SET")
    parser.add_argument("--override", nargs="*", default=[], help="versions to be taken whatever others ask for")
    parser.add_argument("--install-only", action="store_true", help="run no tests")
    options, arguments = parser.parse_known_args()
    venv = (options.venv or ROOT / f".venv-{options.set}").resolve()
    python = install(options.set, venv, options.override)
    found = versions(python)
    (HERE / f"{options.set}.txt").write_text("".join(f"{name}=={found[name]}\n" for name in sorted(found)))
    print(f"{options.set}: {', '.join(f'{name} {version}' for name, version in sorted(found.items()))}", flush=True)
    if not options.install_only:
        sys.exit(tests(python, arguments))


def requirements() -> Iterator[Requirement]:
    """What the distributions of this repository and its tests ask of others."""
    for file in [ROOT / "kernel/pyproject.toml", *sorted(ROOT.glob("plugins/*/*/pyproject.toml"))]:
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        optional = project.get("optional-dependencies", {})
        asked = [*project["dependencies"], *(line for extra in EXTRAS for line in optional.get(extra, ()))]
        yield from (needed for needed in map(Requirement, asked) if not needed.name.startswith("tunesmith"))
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    yield from map(Requirement, groups["dev"])


def install(chosen: str, venv: Path, overrides: list[str]) -> Path:
    """A fresh environment with the libraries of the set, and all of this repository; its Python."""
    uv = [sys.executable, "-m", "uv"]
    run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(venv)])
    python, inputs = venv / "bin" / "python", venv / "inputs"
    inputs.mkdir()
    (inputs / "asked.txt").write_text("".join(f"{line}\n" for line in sorted({str(one) for one in requirements()})))
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    tools = [line for line in pinned if line.partition("==")[0] in TOOLS]
    (inputs / "tools.txt").write_text("\n".join(tools) + "\n")
    (inputs / "overrides.txt").write_text("\n".join(overrides) + "\n")
    resolution = {"lowest": "lowest-direct", "newest": "highest"}[chosen]
    command = [*uv, "--no-config", "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python)]
    files = ["--requirement", str(inputs / "asked.txt"), "--constraint", str(inputs / "tools.txt")]
    run([*command, "--resolution", resolution, *files, "--overrides", str(inputs / "overrides.txt")])
    ours = ["--editable", "kernel", "--requirement", "plugins/requirements.txt"]
    run([*command, "--no-deps", *ours])
    return python


def versions(python: Path) -> dict[str, str]:
    """The installed versions of what the distributions ask for, by name."""
    code = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    shown = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout
    installed = {canonicalize_name(name): version for name, version in json.loads(shown).items()}
    asked = {canonicalize_name(needed.name) for needed in requirements()} - set(TOOLS)
    return {name: version for name, version in installed.items() if name in asked}


def tests(python: Path, arguments: list[str]) -> int:
    """The quick tests, or those that are named; pytest's exit code."""
    began = time.monotonic()
    chosen = [
        "-q",
        "-m",
        "not slow and not gpu",
        "-p",
        "no:cacheprovider",
        *(arguments or ["-n", "2", "--dist", "worksteal"]),
    ]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "VIRTUAL_ENV": str(python.parents[1])}
    variables["PATH"] = f"{python.parent}{os.pathsep}{variables['PATH']}"
    code = subprocess.run([str(python), "-m", "pytest", *chosen], cwd=ROOT, env=variables, check=False).returncode
    print(f"{time.monotonic() - began:.0f} s, exit code {code}")
    return code


def run(command: list[str]) -> None:
    """A command that has to succeed, in the repository's folder."""
    links = {"UV_FIND_LINKS": os.environ.get("UV_FIND_LINKS", os.environ.get("PIP_FIND_LINKS", ""))}
    subprocess.run(command, cwd=ROOT, env={**os.environ, **links}, check=True)


if __name__ == "__main__":
    main()
