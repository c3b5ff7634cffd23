"""What a GPU shows, in one command that ends by itself: `make gpu`. First the tests marked `gpu`, then the figures.

python tests/gpu [--dry] [--out FOLDER] [--seconds 540] [--wheels FOLDER] [--only NAME …]

Results are written as they come: `results.jsonl` in the folder, and `table.md` at the end. Each step has a time in
which it must end; one that fails or takes longer is reported and passed over. `--dry` goes the same way on the CPU,
with tiny shapes and without the tests. `--wheels` names wheels that are unpacked into a folder first, without network,
beside what the machine's Python has: `make gpu-wheels` collects them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
INSTALLING, TESTING = 90.0, 170.0  # seconds at most
UNPACKED = ROOT / ".venv-gpu"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry", action="store_true", help="tiny shapes on the CPU")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "gpu-results")), help="of the results")
    parser.add_argument("--seconds", type=float, default=540.0, help="for everything")
    parser.add_argument("--wheels", type=Path, help="folder of wheels to be installed first")
    parser.add_argument("--only", nargs="*", default=[], help="beginnings of names of figures; without the tests")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    options.out.mkdir(parents=True, exist_ok=True)
    results = options.out / "results.jsonl"
    results.write_text("")
    environment = dict(os.environ)
    if options.dry:
        environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    if options.wheels:
        unpack(options.wheels, results)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(UNPACKED), environment.get("PYTHONPATH")]))
    if not (options.dry or options.only):
        tests(results, options.out / "tests.log", min(TESTING, end - time.monotonic()), environment)
    command = [sys.executable, str(HERE / "figures.py"), str(options.out), str(end - time.monotonic())]
    command += ["--dry"] * options.dry + options.only
    bounded(command, end - time.monotonic() + 20, environment)


def unpack(wheels: Path, results: Path) -> None:
    """Put wheels into a folder of their own: whatever environment the machine's Python is of stays as it is."""
    began, found = time.monotonic(), [str(wheel.resolve()) for wheel in sorted(wheels.glob("*.whl"))]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index", "--no-deps"]
    failed = bounded([*pip, "--upgrade", "--target", str(UNPACKED), *found], INSTALLING)
    told = {"step": "install", "wheels": len(found), "seconds": time.monotonic() - began}
    report(results, {**told, "failed": failed} if failed else told)


def tests(results: Path, log: Path, seconds: float, environment: dict[str, str]) -> None:
    """The tests marked `gpu`, and the summary of what failed."""
    began = time.monotonic()
    with log.open("w") as file:
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "--tb=short", "-ra"]
        failed = bounded(command, seconds, environment, stdout=file)
    lines = log.read_text(errors="replace").splitlines()
    told = {"step": "tests", "said": lines[-1] if lines else "", "seconds": time.monotonic() - began}
    wrong = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    report(results, {**told, **({"failed": failed, "which": wrong} if failed else {})})


def bounded(command: list[str], seconds: float, environment: dict[str, str] | None = None, stdout=None) -> str:
    """Run a command. Returns: what went wrong; empty when nothing did."""
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=stdout, stderr=subprocess.STDOUT if stdout else None
    )
    try:
        code = process.wait(max(seconds, 1.0))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return f"took longer than {seconds:.0f} s"
    return f"exit code {code}" if code else ""


def report(results: Path, told: dict) -> None:
    line = json.dumps(told)
    print(line[:400], flush=True)
    with results.open("a") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    main()
