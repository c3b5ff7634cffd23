"""What a training step's products of matrices would take alone: their FLOPs by formula, at this machine's own speed.

python tests/bench/steps_products.py MODEL bf16|fp32 prints the speed of each layer's product, in FLOP/s, as JSON.
"""

from __future__ import annotations

import json
import sys
import time

from steps_cases import MODELS, RANK, VOCABULARY, Case

TOKENS, REPETITIONS = 2048, 7


def layers(model: str) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of a layer's linear parts, as `save_tiny_model` makes them."""
    hidden = MODELS[model]["hidden_size"]
    wide, keys = 2 * hidden, 16 * max(hidden // 32, 1)
    return {
        **{"q_proj": (hidden, hidden), "k_proj": (hidden, keys), "v_proj": (hidden, keys), "o_proj": (hidden, hidden)},
        **{"gate_proj": (hidden, wide), "up_proj": (hidden, wide), "down_proj": (wide, hidden)},
    }


def speeds(model: str, precision: str) -> dict[str, float]:
    """FLOP/s of x W^T and g W, forward and backward, for each shape of the model, in one thread, the best of some.

    Returns: by the name of the layer; `head` for the output layer, `adapter` for the thin products beside the others.
    """
    import torch

    torch.set_num_threads(1)
    hidden = MODELS[model]["hidden_size"]
    shapes = {**layers(model), "head": (hidden, VOCABULARY), "adapter": (hidden, RANK)}
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    found = {}
    for name, (inputs, outputs) in shapes.items():
        count = TOKENS // 2 if name == "head" else TOKENS
        x, weight = torch.randn(count, inputs, dtype=dtype), torch.randn(outputs, inputs, dtype=dtype)
        gradient = torch.randn(count, outputs, dtype=dtype)
        times = []
        for _ in range(REPETITIONS):
            start = time.process_time()
            for _ in range(3):
                torch.mm(x, weight.T)
                torch.mm(gradient, weight)
            times.append((time.process_time() - start) / 3)
        found[name] = 4 * count * inputs * outputs / min(times)
    return found


def seconds(case: Case, rows: list[dict[str, list[int]]], speed: dict[str, float]) -> float:
    """What the products of all of a case's steps take at these speeds; padding and what is computed twice count not.

    Args:
        rows: the encoded examples of the steps.
    """
    sequences = [
        (len(row[name]), sum(label != -100 for label in row[name.replace("input_ids", "labels")]))
        for row in rows
        for name in row
        if name.endswith("input_ids")
    ]
    tokens, trained = (sum(numbers) for numbers in zip(*sequences, strict=True))
    squares = sum(length**2 for length, _ in sequences)
    hidden, depth = MODELS[case.model]["hidden_size"], MODELS[case.model]["layers"]
    shapes = layers(case.model)
    attention = 2 * depth * hidden * squares / speed["q_proj"]  # causal: half of 4 · T² · heads · width
    forward: float = sum(2 * tokens * depth * a * b / speed[name] for name, (a, b) in shapes.items())
    forward += 2 * trained * hidden * VOCABULARY / speed["head"] + attention
    first = sum(2 * tokens * shapes[name][0] * shapes[name][1] / speed[name] for name in ("q_proj", "k_proj", "v_proj"))
    thin = sum(2 * tokens * depth * RANK * (a + b) for a, b in shapes.values()) / speed["adapter"]
    # nothing before the first layer is trained, and attention has twice the products backward
    backward: float = forward - first + attention
    reference: float = forward if case.stage == "dpo" else 0.0
    alone: float = reference + forward + backward + 3 * thin
    return alone


if __name__ == "__main__":
    print(json.dumps(speeds(*sys.argv[1:])))
