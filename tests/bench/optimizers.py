"""What the optimizers keep in memory, and how they learn a small problem; draws docs/optimizers.png.

State is measured on two layers of a 7B model (4096 × 4096 and 4096 × 11008), in bytes per weight. Learning is measured
on a Llama of 4 × 128 that was trained on instructions and is fine-tuned on the same in capitals, each optimizer at the
best of three learning rates.
"""

import copy
import importlib
import math
import tempfile
from pathlib import Path
from typing import Any

import torch
from inputs import instructions
from torch import nn
from tunesmith.types import OptimizerSettings

FIGURE = Path(__file__).parents[2] / "docs/optimizers.png"
PRETRAINING, STEPS, BATCH, LENGTH = 200, 100, 4, 48
LAYERS = 4  # of the model whose state is measured

# label -> (module and class, options for the large layers, options for the small model, its middle learning rate)
OPTIMIZERS: dict[str, tuple[str, dict[str, Any], dict[str, Any], float]] = {
    "AdamW": ("", {}, {}, 3e-3),
    "8-bit AdamW": ("adamw8bit:AdamW8bit", {}, {}, 3e-3),
    "Adam-mini": ("adam_mini:AdamMini", {}, {}, 3e-3),
    "Muon": ("muon:Muon", {}, {}, 1e-2),
    "GaLore": ("galore:GaLore", {"rank": 128}, {"rank": 16, "update_proj_gap": 50}, 1e-2),
    "APOLLO": ("apollo:Apollo", {"rank": 256}, {"rank": 16, "update_proj_gap": 50}, 1e-2),
    "APOLLO-Mini": ("apollo:ApolloMini", {}, {"update_proj_gap": 50, "scale": 16.0}, 1e-2),
    "BAdam": (
        "badam:BAdam",
        {},
        {"switch_interval": 5, "include_embedding": True, "include_lm_head": True},
        3e-3,
    ),
    "LoRA, AdamW": ("", {}, {}, 1e-2),
    "LoRA+": ("loraplus:LoraPlus", {}, {"ratio": 8.0}, 5e-3),
}
NEED_NUMBERS = ("8-bit AdamW", "APOLLO", "APOLLO-Mini")  # the others are measured on tensors without contents


def build(label: str, model: nn.Module, options: dict[str, Any], learning_rate: float) -> torch.optim.Optimizer:
    """The optimizer of a plugin, or torch's AdamW."""
    target = OPTIMIZERS[label][0]
    if not target:
        return torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], learning_rate, weight_decay=0.0)
    package, _, name = target.partition(":")
    plugin = getattr(importlib.import_module(f"tunesmith_optimizer_{package}"), name)(**options)
    return plugin.build_optimizer(model=model, settings=OptimizerSettings(learning_rate, 0.0, 0.9, 0.999, 1e-8))


# ---- memory ----------------------------------------------------------------------------------------------------------


class Layers(nn.Module):
    """The two shapes of a 7B model's linear layers, several times."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleDict({"o_proj": nn.Linear(4096, 4096, bias=False), "up_proj": nn.Linear(4096, 11008, bias=False)})
            for _ in range(count)
        )

    def get_input_embeddings(self) -> nn.Module:
        return nn.Embedding(1, 1)


def bytes_per_weight(label: str) -> float:
    """The memory behind the tensors of the state after one step, over the number of weights."""
    numbers = label in NEED_NUMBERS
    with torch.device("cpu" if numbers else "meta"):
        model = Layers(1 if numbers else LAYERS)
    optimizer = build(label, model, OPTIMIZERS[label][1], 1e-3)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.grad = torch.full_like(weight, 0.1)
    optimizer.step()
    held = [
        value
        for weight in model.parameters()
        for value in optimizer.state.get(weight, {}).values()
        if isinstance(value, torch.Tensor)
    ]
    storages = {id(value): value.untyped_storage().nbytes() for value in held}
    return sum(storages.values()) / sum(weight.numel() for weight in model.parameters())


# ---- learning --------------------------------------------------------------------------------------------------------


def problem(scratch: Path) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A small model, and two texts as token ids: one to train it on first, one to fine-tune it on."""
    from transformers import AutoModelForCausalLM
    from tunesmith_library_testing.tiny import save_tiny_model, tiny_tokenizer

    plain = [f"{row['instruction']}\n{row['output']}\n" for row in instructions(1500)]
    capitals = [text.upper() for text in plain]
    tokenizer = tiny_tokenizer([*plain, *capitals], vocab_size=1024)
    save_tiny_model(scratch, hidden_size=128, layers=4, tokenizer=tokenizer)
    first, second = (torch.tensor(tokenizer("".join(texts)).input_ids) for texts in (plain, capitals))
    return AutoModelForCausalLM.from_pretrained(scratch), first, second


def fit(model: nn.Module, optimizer: torch.optim.Optimizer, ids: torch.Tensor, steps: int) -> list[float]:
    """The losses of a run with a cosine schedule; the batches are the same for every optimizer."""
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 + 0.5 * math.cos(math.pi * step / steps))
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(steps):
        starts = torch.randint(0, len(ids) - LENGTH, (BATCH,), generator=generator)
        batch = torch.stack([ids[start : start + LENGTH] for start in starts])
        loss = model(input_ids=batch, labels=batch, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        losses.append(loss.item())
    return losses


def learn(label: str, model: nn.Module, ids: torch.Tensor) -> tuple[float, list[float]]:
    """The best of three learning rates, and its losses."""
    middle, runs = OPTIMIZERS[label][3], {}
    for learning_rate in (middle / 3, middle, middle * 3):
        torch.manual_seed(0)
        student = copy.deepcopy(model)
        if label.startswith("LoRA"):
            import peft

            student = peft.get_peft_model(student, peft.LoraConfig(r=8, lora_alpha=16, target_modules="all-linear"))
        optimizer = build(label, student, OPTIMIZERS[label][2], learning_rate)
        runs[learning_rate] = fit(student, optimizer, ids, STEPS)
    best = min(runs, key=lambda rate: sum(runs[rate][-20:]))
    return best, runs[best]


# ---- the picture -----------------------------------------------------------------------------------------------------


def draw(state: dict[str, float], curves: dict[str, list[float]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), gridspec_kw={"width_ratios": [3, 2]})
    colours = {label: plt.get_cmap("tab10")(number) for number, label in enumerate(curves)}
    for label, losses in curves.items():
        windows = [losses[max(0, end - 5) : end] for end in range(1, STEPS + 1)]
        means = [sum(window) / len(window) for window in windows]
        left.plot(means, label=label, color=colours[label], linewidth=1.5)
    left.set(xlabel="step", ylabel="loss (mean of 5 steps)", ylim=(5, 8), title="Learning a small problem")
    left.grid(alpha=0.3)
    left.legend(ncols=2, fontsize=8)
    bars = right.barh(list(state)[::-1], list(state.values())[::-1], color=[colours[label] for label in state][::-1])
    right.bar_label(bars, fmt="%.3g", padding=3)
    right.set(
        xlabel=f"bytes per weight (BAdam: one of {LAYERS} layers)", xlim=(0, 9), title="State, layers of a 7B model"
    )
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=110, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    torch.set_num_threads(1)
    state = {label: bytes_per_weight(label) for label in OPTIMIZERS if "LoRA" not in label}
    print(f"optimizers: state in bytes per weight ({LAYERS} layers of a 7B model, fp32); loss after {STEPS} steps")
    curves = {}
    with tempfile.TemporaryDirectory() as scratch:
        model, first, second = problem(Path(scratch))
        fit(model, torch.optim.AdamW(model.parameters(), 3e-3), first, PRETRAINING)
        for label in OPTIMIZERS:
            best, curves[label] = learn(label, model, second)
            memory = f"{state[label]:6.3f}" if label in state else "     –"
            final = sum(curves[label][-20:]) / 20
            print(f"  {label:12} {memory}   {curves[label][0]:.3f} → {final:.3f} at {best:.0e}", flush=True)
    draw(state, curves)
    print(f"  {FIGURE.name} is drawn\n")


if __name__ == "__main__":
    main()
