"""What the benchmark of a training step trains: models, examples, and the settings that every program is given.

All start from one adapter and take the same examples in the same order, so that their losses can be compared.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inputs import instructions

VOCABULARY, MAX_LENGTH, RANK, LEARNING_RATE = 32_000, 1024, 8, 1e-4
MODELS = {"7M": {"hidden_size": 256, "layers": 4}, "42M": {"hidden_size": 512, "layers": 8}}
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SHAPES = {"sft": ("1x8", "4x2", "16x1"), "dpo": ("2x4",)}
# what the template says; in the vocabulary of the tokenizer, so that LLaMA-Factory adds none
_TOKENS = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"]


@dataclass(frozen=True)
class Case:
    """What is trained, on how much in an optimizer step."""

    model: str  # of MODELS
    stage: str  # sft or dpo
    shape: str  # examples in a forward pass x passes in an optimizer step
    steps: int  # with different examples
    passes: int  # over those examples

    @property
    def name(self) -> str:
        return f"{self.model} {self.stage} {self.shape}"

    @property
    def batch(self) -> int:
        return int(self.shape.partition("x")[0])

    @property
    def accumulation(self) -> int:
        return int(self.shape.partition("x")[2])

    @property
    def examples(self) -> int:
        return self.steps * self.batch * self.accumulation

    def model_folder(self, scratch: Path) -> Path:
        return scratch / self.model

    def adapter_folder(self, scratch: Path) -> Path:
        return scratch / f"{self.model}-adapter"

    def file(self, scratch: Path) -> Path:
        """The examples."""
        return scratch / f"{self.stage}-{self.examples}.json"

    def encoded(self, scratch: Path) -> list[dict[str, list[int]]]:
        """The examples as token ids and labels."""
        file = scratch / f"{self.stage}-encoded.json"
        rows: list[dict[str, list[int]]] = json.loads(file.read_text())
        return rows[: self.examples]

    def ours(self, scratch: Path, precision: str, checkpointing: bool) -> dict[str, Any]:
        """Tunesmith's configuration."""
        trainer: dict[str, Any] = {"gradient_checkpointing": True} if checkpointing else {}
        return {
            "model": {"path": str(self.model_folder(scratch))},
            "template": "llama3",
            "stage": {"name": self.stage, "max_length": MAX_LENGTH},
            "data": {"train": [{"path": str(self.file(scratch)), "format": "alpaca"}], "cache": False},
            "adapter": {"name": "lora", "path": str(self.adapter_folder(scratch))},
            "precision": precision,
            "evaluator": {},
            "trainer": {
                **trainer,
                "num_train_epochs": self.passes + 1,
                "train_sampling_strategy": "sequential",
                "per_device_train_batch_size": self.batch,
                "gradient_accumulation_steps": self.accumulation,
                "learning_rate": LEARNING_RATE,
                "lr_scheduler_type": "constant",
                "warmup_ratio": 0.0,
                "save_strategy": "no",
                "logging_steps": 1,
            },
        }

    def shared(self) -> dict[str, Any]:
        """Arguments of transformers' Trainer, which LLaMA-Factory's are too."""
        return {
            "num_train_epochs": self.passes,
            "per_device_train_batch_size": self.batch,
            "gradient_accumulation_steps": self.accumulation,
            "learning_rate": LEARNING_RATE,
            "lr_scheduler_type": "constant",
            "save_strategy": "no",
            "logging_steps": 1,
            "report_to": "none",
            "use_cpu": True,
        }

    def llamafactory(self, scratch: Path, precision: str) -> dict[str, Any]:
        """LLaMA-Factory's."""
        return {
            **self.shared(),
            "stage": self.stage,
            "do_train": True,
            "model_name_or_path": str(self.model_folder(scratch)),
            "adapter_name_or_path": str(self.adapter_folder(scratch)),
            "finetuning_type": "lora",
            "dataset": self.file(scratch).stem,
            "dataset_dir": str(scratch),
            "template": "llama3",
            "cutoff_len": MAX_LENGTH,
            "disable_shuffling": True,
            "bf16": precision == "bf16",
        }


def prepare(scratch: Path, cases: list[Case]) -> None:
    """Write models, adapters, examples, and `dataset_info.json`."""
    from tunesmith_library_testing.tiny import tiny_tokenizer

    rows = [row for row in instructions(2000) if row["output"]]
    tokenizer = tiny_tokenizer([json.dumps(row) for row in rows], vocab_size=8000)
    tokenizer.add_special_tokens({"additional_special_tokens": _TOKENS, "bos_token": "<|begin_of_text|>"})
    tokenizer.eos_token, tokenizer.pad_token, tokenizer.chat_template = "<|eot_id|>", "<|end_of_text|>", None
    for name in {case.model for case in cases}:
        _write_model(scratch, name, tokenizer)
    pairs = [
        {"instruction": row["instruction"], "input": "", "chosen": row["output"], "rejected": other["output"]}
        for row, other in zip(rows[::2], rows[1::2], strict=False)
    ]
    columns = {"prompt": "instruction", "query": "input", "chosen": "chosen", "rejected": "rejected"}
    info = {}
    for case in cases:
        file, preferences = case.file(scratch), case.stage == "dpo"
        file.write_text(json.dumps((pairs if preferences else rows)[: case.examples]))
        info[file.stem] = {"file_name": file.name, **({"ranking": True, "columns": columns} if preferences else {})}
    (scratch / "dataset_info.json").write_text(json.dumps(info))
    for stage in {case.stage for case in cases}:
        _encode(scratch, max((case for case in cases if case.stage == stage), key=lambda case: case.examples))


def _write_model(scratch: Path, name: str, tokenizer: Any) -> None:
    """A Llama with random weights, and an adapter for it as peft makes them."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM
    from tunesmith_library_testing.tiny import save_tiny_model

    sizes: dict[str, Any] = {**MODELS[name]}
    folder = save_tiny_model(scratch / name, tokenizer=tokenizer, vocab_size=VOCABULARY, **sizes)
    model = AutoModelForCausalLM.from_pretrained(folder)
    lora = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=LINEAR, task_type="CAUSAL_LM")
    get_peft_model(model, lora).save_pretrained(str(scratch / f"{name}-adapter"))


def _encode(scratch: Path, case: Case) -> None:
    """Write the token ids and labels of a stage's examples, as Tunesmith makes them."""
    from tunesmith import show

    config = case.ours(scratch, "fp32", checkpointing=False)
    _, splits = show({name: config[name] for name in ("model", "template", "stage", "data")})
    rows = [
        {name: [int(value) for value in values] for name, values in splits.train[place].items() if name.endswith("s")}
        for place in range(len(splits.train))
    ]
    (scratch / f"{case.stage}-encoded.json").write_text(json.dumps(rows))
