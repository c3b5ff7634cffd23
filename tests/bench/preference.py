"""How fast a model learns preferences: Tunesmith's DPO against TRL's DPOTrainer, on the same pairs, LoRA, fp32.

Seconds are those of the training loop, without loading and encoding. Pairs are made of real answers: one of two
instructions is preferred, so that both lengths and prompts are real.
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

PAIRS, BATCH, MAX_LENGTH = 256, 8, 512
CASES = {
    "TRL DPOTrainer, padded": ("trl", ""),
    "Tunesmith, padded": ("tunesmith", "padded"),
    "Tunesmith": ("tunesmith", ""),
    "Tunesmith, reference computed before": ("tunesmith", "before"),
}


def prepare(scratch: Path) -> None:
    """A Llama with 4 layers of 256 and a tokenizer with a vocabulary of 32,000; the pairs as a file."""
    from transformers import AutoTokenizer
    from tunesmith_library_testing.tiny import save_tiny_model

    folder, _ = tokenizer_folder("llama2", scratch / "tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.eos_token
    save_tiny_model(scratch / "model", hidden_size=256, layers=4, tokenizer=tokenizer)
    rows = instructions(2 * PAIRS)
    pairs = [
        {"instruction": row["instruction"], "chosen": row["output"], "rejected": other["output"]}
        for row, other in zip(rows[::2], rows[1::2], strict=True)
    ]
    (scratch / "pairs.json").write_text(json.dumps([pair for pair in pairs if pair["chosen"] and pair["rejected"]]))


def configuration(scratch: Path, how: str) -> dict:
    return {
        "model": {"path": str(scratch / "model")},
        "template": "chatml",
        "stage": {"name": "dpo", "max_length": MAX_LENGTH, "precompute_reference": how == "before"},
        "data": {"train": [{"path": str(scratch / "pairs.json"), "format": "alpaca"}], "cache": False},
        "adapter": {"name": "lora", "rank": 8},
        "precision": "fp32",
        "output_dir": str(scratch / f"run-{os.getpid()}"),
        "trainer": {
            "num_train_epochs": 1,
            "per_device_train_batch_size": BATCH,
            "padding_free": how != "padded",
            "save_strategy": "no",
            "logging_steps": 4,
            "learning_rate": 1e-4,
        },
    }


def run_tunesmith(scratch: Path, how: str) -> None:
    """Train, and take the time from before the references are computed, or the loop starts, to the last step."""
    print_timed_run(configuration(scratch, how), begins="prepare" if how == "before" else "RunStarted")


def run_trl(scratch: Path, _: str) -> None:
    """TRL as its documentation shows it: conversational pairs, peft_config, the adapter switched off for reference."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer
    from tunesmith_library_testing.parts import CHATML

    tokenizer = AutoTokenizer.from_pretrained(scratch / "model")
    tokenizer.chat_template = CHATML.exported
    pairs = json.loads((scratch / "pairs.json").read_text())
    turn = {"instruction": "user", "chosen": "assistant", "rejected": "assistant"}
    names = {"instruction": "prompt", "chosen": "chosen", "rejected": "rejected"}
    rows = [{names[key]: [{"role": role, "content": pair[key]}] for key, role in turn.items()} for pair in pairs]
    arguments = DPOConfig(
        output_dir=str(scratch / "trl"),
        num_train_epochs=1,
        per_device_train_batch_size=BATCH,
        learning_rate=1e-4,
        max_length=MAX_LENGTH,
        bf16=False,
        use_cpu=True,
        gradient_checkpointing=False,
        save_strategy="no",
        logging_steps=4,
        report_to="none",
        disable_tqdm=True,
    )
    model = AutoModelForCausalLM.from_pretrained(scratch / "model", dtype="float32")
    trainer = DPOTrainer(
        model,
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    start = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - start
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    print(json.dumps({"seconds": seconds, "first": losses[0], "last": losses[-1]}))


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        prepare(Path(scratch))
        count = len(json.loads((Path(scratch) / "pairs.json").read_text()))
        print(f"preference: DPO, LoRA, Llama of 4 × 256, V = 32,000, {count:,} pairs, batch {BATCH}, fp32")
        base = None
        for label, case in CASES.items():
            command = [sys.executable, __file__, scratch, *case]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{label} failed:\n{done.stderr[-3000:]}")
            result = json.loads(done.stdout.splitlines()[-1])
            speed = count / result["seconds"]
            base = base or speed
            losses = f"loss {result['first']:.4f} → {result['last']:.4f}"
            print(f"  {label:44} {speed:6.2f} pairs/s  {speed / base:5.2f}×   {losses}", flush=True)
    print()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        {"tunesmith": run_tunesmith, "trl": run_trl}[sys.argv[2]](Path(sys.argv[1]), sys.argv[3])
    else:
        main()
