"""The loss of each training set, for the stages that learn from pairs: what the set's pairs alone would give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith_library_testing.parts import load_plain
from tunesmith_library_training.reference import Reference
from tunesmith_stage_dpo import DirectPreference
from tunesmith_stage_orpo import OddsRatioPreference
from tunesmith_stage_simpo import SimplePreference

NAMES = ("tides", "whales", "tides")
STAGES = {
    "dpo": lambda: DirectPreference(rpo_alpha=0.5),
    "orpo": OddsRatioPreference,
    "simpo": SimplePreference,
    "cpo": lambda: SimplePreference(loss="cpo"),
}


def pairs() -> list[dict[str, Any]]:
    """Three pairs of answers to the same five tokens."""
    generator = torch.Generator().manual_seed(0)

    def side(length: int) -> tuple[list[int], list[int]]:
        ids = torch.randint(5, 200, (length,), generator=generator).tolist()
        return [7, 8, 9, 10, 11, *ids], [-100] * 5 + ids

    rows = []
    for length in (3, 6, 4):
        (chosen, chosen_labels), (rejected, rejected_labels) = side(length), side(length + 2)
        rows.append(
            {
                "chosen_input_ids": chosen,
                "chosen_labels": chosen_labels,
                "rejected_input_ids": rejected,
                "rejected_labels": rejected_labels,
            }
        )
    return rows


@pytest.mark.parametrize("padding_free", [True, False])
@pytest.mark.parametrize("name", STAGES)
def test_loss_of_each_data_set(tiny_llama: Path, name: str, padding_free: bool) -> None:
    stage, model = STAGES[name](), load_plain(tiny_llama)
    if name == "dpo":
        torch.manual_seed(1)
        reference = load_plain(tiny_llama)
        with torch.no_grad():
            reference.get_output_embeddings().weight.add_(
                0.05 * torch.randn(reference.get_output_embeddings().weight.shape)
            )
        stage._reference = Reference(reference)
    rows = pairs()
    named = [{**row, "dataset": of} for row, of in zip(rows, NAMES, strict=True)]
    output = stage.compute_loss(
        model=model, batch=stage.collate(examples=named, padding_free=padding_free, processor=None)
    )
    for asked in set(NAMES):
        mine = [row for row, of in zip(rows, NAMES, strict=True) if of == asked]
        alone = stage.compute_loss(
            model=model, batch=stage.collate(examples=mine, padding_free=padding_free, processor=None)
        )
        assert output.metrics[f"loss_{asked}"].tolist() == pytest.approx([alone.loss.item(), len(mine)], rel=1e-4)
        assert not any(metric.startswith("loss_") for metric in alone.metrics)
