"""How fast a model trains: Tunesmith against transformers.Trainer with padding, on the same 2,000 examples.

Tokens are the real ones (padding does not count); seconds are those of the training loop, without loading.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from clock import print_timed_run
from inputs import instructions, tokenizer_folder

EXAMPLES, BATCH, MAX_LENGTH = int(os.environ.get("EXAMPLES", "2000")), 8, 1024
CASES = {
    "Trainer, padded, fp32": ("trainer", "fp32"),
    "Trainer, padded, bf16": ("trainer", "bf16"),
    "Tunesmith, fp32": ("tunesmith", "fp32"),
    "Tunesmith, default (bf16 here)": ("tunesmith", "auto"),
}


def prepare(scratch: Path) -> None:
    """A Llama with 4 layers of 256 and a tokenizer with a vocabulary of 32,000; the examples as a file."""
    from transformers import AutoTokenizer
    from tunesmith_library_testing.tiny import save_tiny_model

    folder, _ = tokenizer_folder("llama2", scratch / "tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.eos_token
    save_tiny_model(scratch / "model", hidden_size=256, layers=4, tokenizer=tokenizer)
    (scratch / "train.json").write_text(json.dumps(instructions(EXAMPLES)))


def configuration(scratch: Path, precision: str) -> dict:
    return {
        "model": {"path": str(scratch / "model")},
        "template": "llama3",
        "stage": {"name": "sft", "max_length": MAX_LENGTH},
        "data": {"train": [{"path": str(scratch / "train.json"), "format": "alpaca"}], "cache": False},
        "adapter": {"name": "lora", "rank": 8},
        "tracker": {"jsonl": {}},
        "precision": precision,
        "output_dir": str(scratch / f"run-{os.getpid()}"),
        "trainer": {
            "num_train_epochs": 1,
            "per_device_train_batch_size": BATCH,
            "save_strategy": "no",
            "logging_steps": 10,
            "learning_rate": 1e-4,
        },
    }


def run_tunesmith(scratch: Path, precision: str) -> None:
    """Train, and take the loop's time from between the first and the last event."""
    print_timed_run(configuration(scratch, precision))


def run_trainer(scratch: Path, precision: str) -> None:
    """The same with transformers' Trainer as its documentation shows it: padded batches, labels in the model."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, DataCollatorForSeq2Seq, Trainer, TrainingArguments
    from tunesmith import show

    tokenizer, splits = show(configuration(scratch, precision))
    rows = [
        {name: list(map(int, splits.train[index][name])) for name in ("input_ids", "labels")}
        for index in range(len(splits.train))
    ]
    model = AutoModelForCausalLM.from_pretrained(scratch / "model")
    model = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    arguments = TrainingArguments(
        output_dir=str(scratch / "trainer"),
        num_train_epochs=1,
        per_device_train_batch_size=BATCH,
        learning_rate=1e-4,
        bf16=precision == "bf16",
        use_cpu=True,
        save_strategy="no",
        logging_steps=10,
        report_to=[],
        disable_tqdm=True,
    )
    trainer = Trainer(model, arguments, train_dataset=rows, data_collator=DataCollatorForSeq2Seq(tokenizer))
    start = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - start
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    print(json.dumps({"seconds": seconds, "first": losses[0], "last": losses[-1]}))


def count_tokens(scratch: Path) -> int:
    from tunesmith import show

    _, splits = show(configuration(scratch, "fp32"))
    return sum(len(splits.train[index]["input_ids"]) for index in range(len(splits.train)))


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        prepare(Path(scratch))
        tokens = count_tokens(Path(scratch))
        print(f"training: LoRA, Llama of 4 × 256, V = 32,000, {EXAMPLES:,} examples, {tokens:,} tokens, batch {BATCH}")
        base = None
        for label, case in CASES.items():
            command = [sys.executable, __file__, scratch, *case]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{label} failed:\n{done.stderr[-3000:]}")
            result = json.loads(done.stdout.splitlines()[-1])
            speed = tokens / result["seconds"]
            base = base or speed
            losses = f"loss {result['first']:.4f} → {result['last']:.4f}"
            print(f"  {label:32} {speed:8,.0f} tokens/s  {speed / base:5.2f}×   {losses}", flush=True)
    print()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        {"tunesmith": run_tunesmith, "trainer": run_trainer}[sys.argv[2]](Path(sys.argv[1]), sys.argv[3])
    else:
        main()
