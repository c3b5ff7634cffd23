"""What the benchmark of the planner trains: models of 20 M to 500 M parameters, and ways to train them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inputs import tokenizer_folder

WORDS = "the river turns where old stones wait under seven quiet lights and no market opens before winter"
LONG = 1_500  # words of an answer, which every length cuts

# hidden size, layers, width of the feed-forward network, heads, those of keys
SIZES: dict[str, tuple[int, int, int, int, int]] = {
    "20M": (320, 8, 896, 5, 5),
    "110M": (768, 11, 2048, 12, 4),
    "410M": (1024, 27, 3072, 16, 8),
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen3": {"head_dim": 64},
    "gemma3_text": {"head_dim": 64, "sliding_window": 256},
    "qwen3_moe": {"head_dim": 64, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 384},
    "qwen3_next": {
        "head_dim": 64,
        "linear_num_key_heads": 4,
        "linear_num_value_heads": 8,
        "linear_key_head_dim": 64,
        "linear_value_head_dim": 64,
        "num_experts": 0,
        "mlp_only_layers": list(range(99)),
    },
}
FULL: dict[str, Any] = {"adapter": "full"}
BF16: dict[str, Any] = {"adapter": {"name": "full", "dtype": "bfloat16"}}
FREEZE: dict[str, Any] = {"adapter": {"name": "freeze", "trainable_layers": 2}}
LORA: dict[str, Any] = {"adapter": {"name": "lora", "rank": 8}}
# peft takes the plain feed-forward networks of these models for experts, and leaves them out in any case
NO_MLP: dict[str, Any] = {"adapter": {"name": "lora", "rank": 8, "exclude_modules": ["mlp"]}}
QLORA: dict[str, Any] = {**LORA, "quantizer": {"name": "bitsandbytes", "bits": 4}}
HQQ: dict[str, Any] = {**LORA, "quantizer": {"name": "hqq", "bits": 4}}
GALORE: dict[str, Any] = {**FULL, "optimizer": {"name": "galore", "rank": 32}}


@dataclass(frozen=True)
class Case:
    """One training."""

    name: str
    size: str  # of SIZES
    options: dict[str, Any] = field(default_factory=dict)  # configuration
    precision: str = "bf16"
    batch: int = 4  # examples in a forward pass
    length: int = 256  # tokens of each example
    again: bool = False  # whether activations are computed again
    family: str = "llama"
    tokenizer: str = "mistral"
    accumulation: int = 1

    @property
    def model(self) -> str:
        return f"{self.family}-{self.size}-{self.tokenizer}"

    def configuration(self, scratch: Path, steps: int, device: str) -> dict[str, Any]:
        """As `tunesmith.train` takes it; every example is cut at the length."""
        stage = self.options.get("stage", "sft")
        rows = "pairs" if stage == "dpo" else "rows"
        options = {key: value for key, value in self.options.items() if key not in ("stage", "trainer")}
        return {
            "model": {"path": str(scratch / self.model)},
            "template": "chatml" if self.tokenizer == "qwen" else "mistral",
            "stage": {"name": stage, "max_length": self.length},
            "data": {"train": [{"path": str(scratch / f"{rows}.json"), "format": "alpaca"}], "cache": False},
            "precision": self.precision,
            "trainer": {
                "max_steps": steps,
                "per_device_train_batch_size": self.batch,
                "gradient_accumulation_steps": self.accumulation,
                "gradient_checkpointing": self.again,
                "save_strategy": "no",
                "logging_steps": 1,
                "use_cpu": device == "cpu",
                **self.options.get("trainer", {}),
            },
            **options,
        }


CASES = (
    Case("full, AdamW", "20M", FULL),
    Case("full, AdamW, fp32", "20M", FULL, "fp32"),
    Case("full, AdamW, recomputed", "20M", FULL, batch=8, length=512, again=True),
    Case("full bf16, AdamW", "20M", BF16, batch=8),
    Case("full, GaLore", "20M", GALORE),
    Case("freeze, AdamW", "20M", FREEZE, batch=8),
    Case("LoRA", "20M", LORA, batch=8, length=512),
    Case("LoRA, fp32", "20M", LORA, "fp32", batch=4, length=512),
    Case("LoRA, 152k words", "20M", LORA, tokenizer="qwen", batch=4),
    Case("QLoRA, 4 bits", "20M", QLORA, batch=8),
    Case("DPO, LoRA", "20M", {**LORA, "stage": "dpo"}, batch=2),
    Case("full, AdamW", "110M", FULL),
    Case("full, adamw8bit", "110M", {**FULL, "optimizer": "adamw8bit"}),
    Case("full bf16, AdamW", "110M", BF16, family="qwen3"),
    Case("full, GaLore", "110M", GALORE, family="qwen3"),
    Case("full, APOLLO", "110M", {**FULL, "optimizer": {"name": "apollo", "rank": 32}}),
    Case("freeze, AdamW, fp32", "110M", FREEZE, "fp32"),
    Case("freeze, GaLore", "110M", {**FREEZE, "optimizer": {"name": "galore", "rank": 32}}),
    Case("LoRA, recomputed", "110M", LORA, batch=8, again=True),
    Case("LoRA, 4 passes", "110M", LORA, batch=1, length=384, accumulation=4),
    Case("LoRA, Gemma 3", "110M", LORA, family="gemma3_text"),
    Case("LoRA, mixture", "110M", LORA, family="qwen3_moe"),
    Case("LoRA, linear attention", "110M", NO_MLP, family="qwen3_next"),
    Case("QLoRA, 4 bits", "110M", QLORA, batch=4),
    Case("HQQ, 4 bits", "110M", HQQ, batch=4),
    Case("full, AdamW", "410M", FULL, batch=1),
    Case("full bf16, GaLore", "410M", {**BF16, "optimizer": {"name": "galore", "rank": 64}}, batch=2),
    Case("freeze, AdamW", "410M", FREEZE, batch=2),
    Case("LoRA", "410M", LORA, batch=2, family="qwen3"),
    Case("QLoRA, 4 bits", "410M", QLORA, batch=2),
    Case("DPO, LoRA", "410M", {**LORA, "stage": "dpo"}, batch=1),
)


def prepare(scratch: Path, cases: list[Case]) -> None:
    """Write the models, with random weights, and the rows, each longer than any length."""
    prompt, answer = "What waits?", " ".join([WORDS] * (LONG // 16))
    rows = [{"instruction": f"{number}. {prompt}", "input": "", "output": answer} for number in range(200)]
    (scratch / "rows.json").write_text(json.dumps(rows))
    pairs = [
        {"instruction": row["instruction"], "input": "", "chosen": answer, "rejected": f"no {answer}"} for row in rows
    ]
    (scratch / "pairs.json").write_text(json.dumps(pairs))
    for case in {case.model: case for case in cases}.values():
        if not (scratch / case.model).is_dir():
            _write_model(scratch / case.model, case)


def _write_model(folder: Path, case: Case) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer_folder(case.tokenizer, folder)
    hidden, layers, width, heads, of_keys = SIZES[case.size]
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    words = len(tokenizer["model"]["vocab"]) + len(tokenizer["added_tokens"])
    sizes = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "intermediate_size": width,
        "num_attention_heads": heads,
        "num_key_value_heads": of_keys,
        "vocab_size": -(-words // 64) * 64,
        "tie_word_embeddings": case.size == "20M",
    }
    torch.manual_seed(0)
    config = AutoConfig.for_model(case.family, **sizes, **FAMILIES[case.family])
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
