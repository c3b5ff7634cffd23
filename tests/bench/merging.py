"""Peak memory of an export: an adapter is merged into a model of 600 MB, which is written and proven."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

SHARD = "100MB"
SIZES = {"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 20, "vocab_size": 32_000}


def make(folder: Path) -> None:
    """Write a base in bfloat16 and the run of an adapter over it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, LlamaConfig
    from tunesmith_library_testing.tiny import tiny_tokenizer

    config = LlamaConfig(**SIZES, num_attention_heads=16, num_key_value_heads=8, tie_word_embeddings=False)
    torch.set_default_dtype(torch.bfloat16)
    model = AutoModelForCausalLM.from_config(config)
    tokenizer = tiny_tokenizer()
    model.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    adapted = get_peft_model(model.float(), LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.01)
    adapted.save_pretrained(folder / "run")
    tokenizer.save_pretrained(folder / "run")
    run = {"model": {"path": str(folder / "base")}, "template": "chatml", "adapter": "lora"}
    (folder / "run" / "run.yaml").write_text(json.dumps(run))


def anonymous() -> float:
    """The memory of this process that is no file's, in MB."""
    with open("/proc/self/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1000


def export(folder: Path, verify: str) -> None:
    """Print what an export adds to the memory, at its highest, in MB."""
    import peft  # noqa: F401  (what every export imports is none of its memory)
    import tunesmith
    from transformers import AutoModelForCausalLM  # noqa: F401

    before, peak, done = anonymous(), 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, anonymous())
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    words = [f"exporter.max_shard_size={SHARD}", f"exporter.verify={verify}"]
    began = time.monotonic()
    tunesmith.export(folder / "run", words, output_dir=folder / f"out-{verify}")
    seconds = time.monotonic() - began
    done.set()
    watcher.join()
    print(f"{peak - before:8,.0f} MB   {seconds:.0f} s")


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        call([str(place), "make"])
        size = sum(file.stat().st_size for file in Path(place, "base").glob("*.safetensors")) / 1e6
        print(
            f"peak memory of merging: a model of {size:,.0f} MB in bfloat16, shards of {SHARD}, LoRA over every layer; "
            "the bound is the model and one shard"
        )
        for verify, name in (("false", "merged and written"), ("true", "and proven")):
            print(f"  {name:20} {call([str(place), verify]).strip().splitlines()[-1]}")
    print()


def call(words: list[str]) -> str:
    quiet = {**os.environ, "TRANSFORMERS_VERBOSITY": "error"}
    done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=False, env=quiet)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    elif sys.argv[2] == "make":
        make(Path(sys.argv[1]))
    else:
        export(Path(sys.argv[1]), sys.argv[2])
