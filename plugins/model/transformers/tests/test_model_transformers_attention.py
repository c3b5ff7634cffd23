"""Which attention a model is loaded with, and that a saved model can be loaded without us."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith.types import ModelSource
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_library_training.isolation import TOLERANCE, isolates_sequences
from tunesmith_model_transformers import Transformers


def load(folder: Path, **options: Any) -> Any:
    plugin = Transformers(path=str(folder), **options)
    source = ModelSource(path=folder, address=str(folder), precision="fp32", seed=3, training=True)
    processor = plugin.load_processor(source=source)
    return plugin.load_model(source=source, processor=processor, quantization=None)


@pytest.mark.parametrize("attention", ["auto", "per_sequence", "sdpa", "eager"])
def test_sequences_of_a_batch_are_kept_apart(attention: str, tiny_llama: Path) -> None:
    model = load(tiny_llama, attention=attention)
    asked = "per_sequence" if attention == "auto" else attention
    assert model.config._attn_implementation == asked
    assert isolates_sequences(model) < TOLERANCE


@pytest.mark.parametrize(
    "architecture, more, isolated",
    [
        ("gpt_neo", {"num_heads": 4, "num_layers": 2, "attention_types": [[["global"], 2]]}, True),
        ("bloom", {"n_head": 4, "n_layer": 2}, False),
    ],
)
def test_attention_of_its_own(architecture: str, more: dict, isolated: bool, tmp_path: Path) -> None:
    """A model that does not call registered attention keeps its own, and a padded batch is as each sequence alone."""
    folder = save_tiny_model(tmp_path / "m", architecture=architecture, **more)
    model = load(folder).eval()
    ids = torch.randint(5, 250, (2, 12), generator=torch.Generator().manual_seed(2))
    mask = torch.ones_like(ids)
    mask[0, 7:] = 0
    with torch.no_grad():
        padded = model(input_ids=ids, attention_mask=mask).logits[0, :7]
        alone = model(input_ids=ids[:1, :7]).logits[0]
    torch.testing.assert_close(padded, alone)
    assert (isolates_sequences(model) < TOLERANCE) == isolated
    with pytest.raises(TunesmithError, match=rf"{architecture} computes attention in its own way"):
        load(folder, attention="per_sequence")
