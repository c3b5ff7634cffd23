"""Predicted against measured memory: what `tunesmith plan` says before, and what a training takes, as a Markdown table.

python tests/bench/planner.py, with the environment variables

    CASES   numbers of `planner_cases.CASES`, such as "0,3,11" (all)
    STEPS   of a training (3)
    KINDS   of `planner_probe.KINDS` ("allocated,resident"; "cuda" on a GPU)
    KEEP    a folder for models and results, which are then there the next time

Each training is a process of its own, with one thread. What torch allocates is compared with the prediction without
what the process takes itself.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from planner_cases import CASES, prepare

HERE = Path(__file__).parent
LIMIT = 900  # seconds of one training
HEADINGS = {"allocated": "allocated", "resident": "resident", "cuda": "on the GPU"}


def main() -> None:
    steps = int(os.environ.get("STEPS", "3"))
    numbers = [int(number) for number in os.environ.get("CASES", "").split(",") if number] or range(len(CASES))
    kinds = os.environ.get("KINDS", "allocated,resident").split(",")
    print(f"planner: {len(numbers)} trainings of {steps} steps, predicted and measured peaks in MiB\n")
    titles = "".join(f" {HEADINGS[kind]} | error |" for kind in kinds)
    print(f"| parameters | training | tokens | predicted |{titles}")
    print("|---" * (4 + 2 * len(kinds)) + "|")
    errors: dict[str, list[float]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(os.environ.get("KEEP") or name)
        scratch.mkdir(parents=True, exist_ok=True)
        prepare(scratch, [CASES[number] for number in numbers])
        for number in numbers:
            print(row(number, {kind: run(number, scratch, steps, kind) for kind in kinds}, errors), flush=True)
    for kind, found in errors.items():
        print(f"\n{kind}: median error {statistics.median(found):.1%}, worst {max(found):.1%}", end="")
    print("\n")


def run(number: int, scratch: Path, steps: int, kind: str) -> dict[str, Any]:
    """Train, and give what was predicted and measured."""
    output, file = scratch / f"run-{number}-{kind}", scratch / f"measured-{number}-{kind}.json"
    shutil.rmtree(output, ignore_errors=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if kind != "cuda":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    command = [sys.executable, str(HERE / "planner_probe.py"), str(number), str(scratch), str(steps), kind]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT)
    shutil.rmtree(output, ignore_errors=True)
    if done.returncode:
        raise SystemExit(f"{CASES[number].name} failed:\n{done.stderr[-2_000:]}")
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def row(number: int, found: dict[str, dict[str, Any]], errors: dict[str, list[float]]) -> str:
    """A line of the table; adds the errors."""
    case, told = CASES[number], next(iter(found.values()))
    which = f"{case.size} {case.family}, {case.name}, {case.precision}"
    line = f"| {told['parameters'] / 1e6:,.0f} M | {which} | {told['tokens']:,} | {told['peak'] / 2**20:,.0f} |"
    for kind, each in found.items():
        measured = each["memory"].get("used" if kind == "cuda" else "peak")
        error = each["allocated" if kind == "allocated" else "peak"] / measured - 1
        errors[kind].append(abs(error))
        line += f" {measured / 2**20:,.0f} | {error:+.1%} |"
    return line


if __name__ == "__main__":
    main()
