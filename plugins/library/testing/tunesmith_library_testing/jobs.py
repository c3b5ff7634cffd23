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


class Shared:
    """Rows that are read in shares, and the numbers of those that were."""

    class Share:
        def __init__(self, rows: list[Any], seen: list[int], number: int, count: int, state: Any) -> None:
            self.rows, self.seen, self.number, self.count = rows, seen, number, count
            self.state = state or 0

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> Any:
            row = self.number + self.count * self.state
            self.seen.append(row)
            self.state += 1
            return self.rows[row % len(self.rows)]

    def __init__(self) -> None:
        self.rows, self.seen = drawn(11), list[int]()

    def share(self, number: int, count: int, state: Any = None) -> Any:
        return self.Share(self.rows, self.seen, number, count, state)

    def __iter__(self) -> Any:
        raise AssertionError("it is read in shares")


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
