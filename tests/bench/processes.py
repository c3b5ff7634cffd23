"""What several processes cost, and what each of them holds: all weights of the 42M model, fp32, one thread a process.

python tests/bench/processes.py, with the environment variables

    WAYS    some of them, such as "alone,ddp,fsdp,zero3"
    STEPS   measured ones (4); one more is made before

The same examples in the same steps, so that the losses are compared. Memory is what a process holds when a forward pass
begins, beyond what it held before the model was loaded: weights, gradients that are kept, states of the optimizer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from steps_cases import Case, prepare

HERE = Path(__file__).parent
BATCH = 4  # examples of a step
WAYS: dict[str, dict[str, Any] | None] = {
    "alone": None,
    "ddp": {"name": "ddp", "processes": 2},
    "fsdp": {"name": "fsdp", "processes": 2},
    "zero2": {"name": "deepspeed", "processes": 2, "stage": 2},
    "zero3": {"name": "deepspeed", "processes": 2, "stage": 3},
}
LARGEST = 1e-5  # relative difference of losses


def main() -> None:
    steps = int(os.environ.get("STEPS", "4"))
    wanted = [name for name in os.environ.get("WAYS", "").split(",") if name] or list(WAYS)
    case = Case("42M", "sft", f"{BATCH}x1", steps + 1, 1)
    print(f"processes: all weights of a Llama of 42M, fp32, AdamW, {BATCH} examples a step, one thread a process")
    print("             CPU-s of a step  of `alone`   MiB a process, least and most    weights, MiB   last loss")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        prepare(scratch, [case])
        base, losses = 0.0, {}
        for way in wanted:
            told, losses[way] = run(way, case, scratch)
            # the first step also makes what is made once
            seconds = sum((each["seconds"][-1] - each["seconds"][1]) / (steps - 1) for each in told)
            held = [max(each["held"][1:]) / 2**20 for each in told]
            weights = "/".join(f"{each['weights'] / 2**20:.0f}" for each in told)
            base = base or seconds
            memory = f"{min(held):,.0f} {max(held):,.0f}"
            print(
                f"  {way:10} {seconds:14.2f} {seconds / base:11.2f} {memory:>27} {weights:>17} {losses[way][-1]:12.6f}",
                flush=True,
            )
    first = losses[wanted[0]]
    worst = max(abs(a - b) / a for each in losses.values() for a, b in zip(first, each, strict=True))
    print(f"  largest relative difference of a loss: {worst:.1e}\n")
    sys.exit(worst > LARGEST)


def run(way: str, case: Case, scratch: Path) -> tuple[list[dict[str, Any]], list[float]]:
    """Train, and give what each process noted, and the losses."""
    parallel = WAYS[way]
    notes, output = scratch / f"notes-{way}", scratch / f"run-{way}"
    notes.mkdir()
    config = case.ours(scratch, "fp32", checkpointing=False)
    count = parallel["processes"] if parallel else 1
    config["trainer"] |= {"num_train_epochs": 1, "per_device_train_batch_size": BATCH // count, "use_cpu": True}
    config |= {
        "adapter": "full",
        "output_dir": str(output),
        "patch": {f"{HERE / 'processes_probe.py'}:Probe": {"folder": str(notes)}},
        **({"parallel": parallel} if parallel else {}),
    }
    file = scratch / f"{way}.yaml"
    file.write_text(json.dumps(config))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tunesmith", "train", str(file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{way} failed:\n{done.stderr[-2_000:]}")
    logged = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    told = [json.loads(file.read_text()) for file in sorted(notes.iterdir())]
    return told, [entry["loss"] for entry in logged if "loss" in entry]


if __name__ == "__main__":
    main()
