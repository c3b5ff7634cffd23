"""How long the command line takes to answer, and what a run of two steps costs from start to end, in CPU-seconds.

Byte code is written first: many images forbid it (PYTHONDONTWRITEBYTECODE), and every start then compiles 4,000 files.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "tunesmith --version": ["-m", "tunesmith", "--version"],
    "tunesmith --help": ["-m", "tunesmith", "--help"],
    "tunesmith train --help": ["-m", "tunesmith", "train", "--help"],
    "tunesmith plugins show adapter.lora": ["-m", "tunesmith", "plugins", "show", "adapter.lora"],
}
ROUNDS = 11
RUNS = 5  # of what takes seconds


def cpu_seconds(arguments: list[str], folder: Path) -> float:
    """User and system time of a fresh interpreter and its children, one thread."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, *arguments]
    subprocess.run(command, capture_output=True, check=True, cwd=folder, env={**variables, "OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def report(label: str, times: list[float]) -> None:
    print(f"  {label:40} {statistics.median(times):6.2f}   (min {min(times):.2f}, max {max(times):.2f})")


def two_steps(folder: Path) -> list[str]:
    """The arguments of a run of two optimizer steps, LoRA on a Llama of 7M parameters."""
    from tunesmith_library_testing.tiny import save_tiny_model

    sizes = {"hidden_size": 256, "layers": 6, "intermediate_size": 1024, "head_dim": 32}
    save_tiny_model(folder / "model", num_attention_heads=8, num_key_value_heads=8, **sizes)
    rows = [{"instruction": f"Count to {last}.", "output": " ".join(map(str, range(last)))} for last in range(1, 40)]
    (folder / "rows.json").write_text(json.dumps(rows))
    options = ["model.path=model", "data.train=[rows.json]", "template=chatml", "output_dir=out", "overwrite=true"]
    trainer = ["trainer.max_steps=2", "trainer.per_device_train_batch_size=2", "trainer.save_strategy=no"]
    return ["-m", "tunesmith", "train", *options, *trainer]


def main() -> None:
    print(f"start-up, CPU-seconds, median of {ROUNDS}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for label, arguments in COMMANDS.items():
            report(label, [cpu_seconds(arguments, folder) for _ in range(ROUNDS)])
        run = two_steps(folder)
        planned = ["-m", "tunesmith", "plan", *run[3:]]
        report("tunesmith plan", [cpu_seconds(planned, folder) for _ in range(ROUNDS)])
        whole = {
            "import torch": ["-c", "import torch"],
            "import transformers.Trainer": ["-c", "from transformers import Trainer"],
            "two steps of a 7M model, from start to end": run,
        }
        print(f"whole runs, CPU-seconds, median of {RUNS}")
        for label, arguments in whole.items():
            cpu_seconds(arguments, folder)  # writes the byte code, and the cache of the encoded rows
            report(label, [cpu_seconds(arguments, folder) for _ in range(RUNS)])
    print()


if __name__ == "__main__":
    main()
