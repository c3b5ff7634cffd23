"""Collect the wheels that a machine without network installs: `make gpu-wheels`, for the Python that is named.

python collect.py FOLDER [3.12]: ours, built, and those of `wheels.txt` in the versions of constraints.txt.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def main() -> None:
    folder, version = Path(sys.argv[1]).resolve(), sys.argv[2] if len(sys.argv) > 2 else "3.12"
    folder.mkdir(parents=True, exist_ok=True)
    lines = (HERE / "wheels.txt").read_text().splitlines()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    for name in (line for line in lines if line and not line.startswith("#")):
        pinned = ["--no-deps", "--quiet", "--constraint", str(ROOT / "constraints.txt"), name]
        binary = [*pip, "download", "--only-binary=:all:", "--python-version", version, "--dest", str(folder), *pinned]
        if subprocess.run(binary, check=False, stderr=subprocess.DEVNULL).returncode:  # there is its source only
            subprocess.run([*pip, "wheel", "--wheel-dir", str(folder), *pinned], check=True)
    for project in sorted([ROOT / "kernel", *(file.parent for file in ROOT.glob("plugins/*/*/pyproject.toml"))]):
        build = [sys.executable, "-m", "uv", "build", "--quiet", "--wheel", "--out-dir", str(folder), str(project)]
        subprocess.run(build, check=True)
    wheels = sorted(folder.glob("*.whl"))
    print(f"{len(wheels)} wheels, {sum(wheel.stat().st_size for wheel in wheels) / 2**20:.0f} MiB, in {folder}")


if __name__ == "__main__":
    main()
