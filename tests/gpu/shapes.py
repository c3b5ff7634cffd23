"""Models of published shapes with random weights, made on the machine, and rows to train them on."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORDS = ("river", "stone", "light", "under", "seven", "quiet", "market", "letter", "winter", "engine", "paper", "green")


@dataclass(frozen=True)
class Shape:
    """A Llama or Qwen2 by its sizes."""

    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    key_value_heads: int
    vocabulary: int
    tied: bool = False
    architecture: str = "llama"

    @property
    def matrices(self) -> int:
        """Weights that each token is multiplied with: all layers, and the output."""
        width = self.hidden_size // self.heads
        attention = self.hidden_size * width * (2 * self.heads + 2 * self.key_value_heads)
        return self.layers * (attention + 3 * self.hidden_size * self.intermediate_size) + (
            self.vocabulary * self.hidden_size
        )


SHAPES = {
    "0.5B": Shape(896, 4_864, 24, 14, 2, 151_936, True, "qwen2"),
    "1.5B": Shape(1_536, 8_960, 28, 12, 2, 151_936, True, "qwen2"),
    "7B": Shape(4_096, 11_008, 32, 32, 32, 32_000),
    "8B": Shape(4_096, 14_336, 32, 32, 8, 128_256),
}
TINY = Shape(64, 128, 2, 4, 2, 2_000)


def save(folder: Path, shape: Shape, device: str) -> None:
    """Write a model in bf16, unless it is there; the weights are drawn on the device."""
    if (folder / "config.json").is_file():
        return
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from tunesmith_library_testing.tiny import tiny_tokenizer

    tokenizer = tiny_tokenizer([" ".join(WORDS)], vocab_size=400)
    config = AutoConfig.for_model(
        shape.architecture,
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        max_position_embeddings=4_096,
        tie_word_embeddings=shape.tied,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.device(device):
        model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def rows(count: int, longest: int, seed: int = 0) -> list[dict[str, Any]]:
    """Conversations of one question and an answer of a tenth of `longest` words to all of them."""
    rng = random.Random(seed)
    return [
        {
            "instruction": " ".join(rng.choices(WORDS, k=12)),
            "output": " ".join(rng.choices(WORDS, k=rng.randint(longest // 10, longest))),
        }
        for _ in range(count)
    ]


def write_rows(folder: Path, count: int, longest: int) -> None:
    """`train.json` for instructions, and `pairs.json` for preferences."""
    made = rows(count, longest)
    (folder / "train.json").write_text(json.dumps(made))
    others = rows(count, longest, seed=1)
    pairs = [
        {"instruction": row["instruction"], "chosen": row["output"], "rejected": other["output"]}
        for row, other in zip(made, others, strict=True)
    ]
    (folder / "pairs.json").write_text(json.dumps(pairs))
