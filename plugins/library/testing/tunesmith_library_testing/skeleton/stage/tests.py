import pytest
import torch
from tunesmith_library_testing import StageSuite
from tunesmith_library_testing.parts import load_plain
from tunesmith_stage_placeholder import Placeholder


class TestPlaceholder(StageSuite):
    plugin = Placeholder
    rows = [{"text": "The tide turns."}, {"text": "Whales sing, and nobody counts the waves."}]


def test_equals_transformers_own_loss(tiny_llama, tiny_bpe):
    model, stage = load_plain(tiny_llama), Placeholder()
    columns = stage.encode(rows=[{"text": "The tide turns."}], processor=tiny_bpe)
    batch = stage.collate(examples=[{name: values[0] for name, values in columns.items()}], padding_free=False)
    ours = stage.compute_loss(model=model, batch=batch)
    ids = torch.tensor(columns["input_ids"])
    expected = model(input_ids=ids, labels=ids).loss.item()
    assert (ours.loss / ours.num_items).item() == pytest.approx(expected, rel=1e-5)
