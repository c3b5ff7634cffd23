"""The losses of the first steps, LLaMA-Factory's and ours, from the same YAML file: SFT, reward and preferences.

python tests/bench/against_llamafactory.py PYTHON [sft] [dpo] [rm] [mixed] [orpo] [simpo]

PYTHON is that of an environment with LLaMA-Factory, which is none of Tunesmith's dependencies:

    uv venv lf; uv pip install --python lf/bin/python llamafactory==0.9.5      # with torchaudio, which it imports

A tiny Llama with random weights in fp32, all weights trained, one thread, batches of one, the order of the file; the
template is llama3, whose text both write alike. A reward model's head starts from the same numbers in both.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from inputs import instructions

STEPS, LARGEST = 10, 1e-3
CASES: dict[str, dict[str, Any]] = {
    "sft": {"stage": "sft"},
    "dpo": {"stage": "dpo", "pref_beta": 0.1, "pref_loss": "sigmoid"},
    "rm": {"stage": "rm"},
    "mixed": {"stage": "dpo", "pref_bco_weight": 0.5, "pref_ftx": 0.25},
    "orpo": {"stage": "dpo", "pref_loss": "orpo", "pref_ftx": 0.25},
    "simpo": {"stage": "dpo", "pref_loss": "simpo", "pref_beta": 2.0, "simpo_gamma": 0.5, "pref_ftx": 0.25},
}
_TOKENS = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"]


def prepare(scratch: Path) -> None:
    """The model with both kinds of head, the data sets, and `dataset_info.json`."""
    import torch
    from safetensors.torch import load_file, save_file
    from tunesmith_library_testing.tiny import save_tiny_model, tiny_tokenizer

    rows = [row for row in instructions(400) if row["output"]]
    tokenizer = tiny_tokenizer([json.dumps(row) for row in rows], vocab_size=2000)
    tokenizer.add_special_tokens({"additional_special_tokens": _TOKENS, "bos_token": "<|begin_of_text|>"})
    tokenizer.eos_token = "<|eot_id|>"
    tokenizer.pad_token = "<|end_of_text|>"
    tokenizer.chat_template = None
    folder = save_tiny_model(scratch / "model", hidden_size=64, layers=2, tokenizer=tokenizer)
    weights = load_file(folder / "model.safetensors")
    head = torch.randn(1, 64, generator=torch.Generator().manual_seed(0)) / 8
    judge = scratch / "judge"
    shutil.copytree(folder, judge)
    save_file({**weights, "score.weight": head.clone()}, judge / "model.safetensors", {"format": "pt"})
    save_file({"v_head.summary.weight": head, "v_head.summary.bias": torch.zeros(1)}, judge / "value_head.safetensors")
    one_score = {
        "architectures": ["LlamaForSequenceClassification"],
        "id2label": {"0": "score"},
        "label2id": {"score": 0},
    }
    config = json.loads((folder / "config.json").read_text())
    (judge / "config.json").write_text(json.dumps({**config, **one_score, "summary_dropout_prob": 0.0}))
    pairs = [
        {"instruction": row["instruction"], "input": "", "chosen": row["output"], "rejected": other["output"]}
        for row, other in zip(rows[::2], rows[1::2], strict=False)
    ]
    columns = {"prompt": "instruction", "query": "input", "chosen": "chosen", "rejected": "rejected"}
    (scratch / "asked.json").write_text(json.dumps(rows[:STEPS]))
    (scratch / "pairs.json").write_text(json.dumps(pairs[:STEPS]))
    info = {
        "asked": {"file_name": "asked.json"},
        "pairs": {"file_name": "pairs.json", "ranking": True, "columns": columns},
    }
    (scratch / "dataset_info.json").write_text(json.dumps(info))


def configuration(scratch: Path, case: str) -> dict[str, Any]:
    """What both read."""
    stage = CASES[case]["stage"]
    return {
        "model_name_or_path": str(scratch / ("judge" if stage == "rm" else "model")),
        "do_train": True,
        "finetuning_type": "full",
        "dataset": "asked" if stage == "sft" else "pairs",
        "dataset_dir": str(scratch),
        "template": "llama3",
        "cutoff_len": 1024,
        "disable_shuffling": True,
        "output_dir": str(scratch / case),
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "per_device_train_batch_size": 1,
        "max_steps": STEPS,
        "learning_rate": 1.0e-3,
        "lr_scheduler_type": "cosine",
        "bf16": False,
        "use_cpu": True,
        **CASES[case],
    }


def theirs(python: str, file: Path, folder: Path) -> list[float]:
    """LLaMA-Factory's losses."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DISABLE_VERSION_CHECK": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [python, "-m", "llamafactory.cli", "train", str(file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stdout[-2000:] + done.stderr[-4000:])
    state = json.loads((folder / "trainer_state.json").read_text())
    return [entry["loss"] for entry in state["log_history"] if "loss" in entry]


def ours(file: Path, folder: Path) -> list[float]:
    """Tunesmith's, from the same file."""
    import tunesmith

    tunesmith.train(file, {"output_dir": str(folder), "data.cache": False})
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line][:STEPS]


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    import torch

    torch.set_num_threads(1)
    print("| case | step | LLaMA-Factory | Tunesmith | difference |\n|---|---|---|---|---|")
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        prepare(scratch)
        for case in sys.argv[2:] or CASES:
            file = scratch / f"{case}.yaml"
            file.write_text(yaml.safe_dump(configuration(scratch, case)))
            pairs = zip(theirs(sys.argv[1], file, scratch / case), ours(file, scratch / f"{case}-ours"), strict=True)
            for step, (their, our) in enumerate(pairs, 1):
                worst = max(worst, abs(their - our))
                print(f"| {case} | {step} | {their:.5f} | {our:.5f} | {abs(their - our):.1e} |")
    print(f"\nlargest difference: {worst:.1e}")
    sys.exit(worst > LARGEST)


if __name__ == "__main__":
    main()
