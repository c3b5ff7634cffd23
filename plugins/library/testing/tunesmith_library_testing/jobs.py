"""Jobs for trainers under test: a real model, sequences that are drawn, a plain loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith.types import DatasetSplits, TrainingJob

from tunesmith_library_testing.parts import collate, compute_loss, load_plain


def drawn(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Sequences of 4 to 20 tokens, of which between 1 and all are trained."""
    import torch

    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (1,), generator=generator))

    rows = []
    for _ in range(count):
        length = draw(4, 21)
        ids = torch.randint(5, 260, (length,), generator=generator).tolist()
        prompt = draw(0, length - 1)
        rows.append({"input_ids": ids, "labels": [-100] * prompt + ids[prompt:]})
    return rows


def make_job(
    model: Path, output_dir: Path, *, dropout: float = 0.0, lora: bool = False, **changes: Any
) -> tuple[TrainingJob, list[Any]]:
    """A job over 15 sequences, and its events.

    Args:
        model: its folder.
        dropout: of attention, and of LoRA.
        lora: train an adapter of rank 4 by peft, not all weights.
        changes: parts of the job, over those that it has otherwise.
    """
    import torch
    from transformers import AutoTokenizer

    told: list[Any] = []
    torch.manual_seed(0)
    options: dict[str, Any] = {"attention_dropout": dropout} if dropout else {}
    network = load_plain(model, **options)
    if lora:
        import peft

        network = peft.get_peft_model(network, peft.LoraConfig(r=4, lora_dropout=dropout, target_modules="all-linear"))
    parts: dict[str, Any] = {
        "model": network,
        "processor": AutoTokenizer.from_pretrained(model),
        "data": DatasetSplits(train=drawn(15)),
        "output_dir": output_dir,
        "seed": 7,
        "precision": "fp32",
        "resume": False,
        "collate": collate,
        "compute_loss": compute_loss,
        "build_optimizer": lambda model, settings: None,
        "emit": told.append,
    }
    return TrainingJob(**{**parts, **changes}), told


def trained_weights(model: Any) -> dict[str, Any]:
    """Copies of the weights that are trained."""
    return {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}


def saved_weights(folder: Path) -> dict[str, Any]:
    """The tensors of the one safetensors file in a folder."""
    from safetensors.torch import load_file

    (file,) = folder.glob("*.safetensors")
    return load_file(file)


def difference(first: dict[str, Any], second: dict[str, Any]) -> float:
    """The largest difference of any two numbers of the same names."""
    assert first.keys() == second.keys()
    return max(float((first[name].double() - second[name].double()).abs().max()) for name in first)
