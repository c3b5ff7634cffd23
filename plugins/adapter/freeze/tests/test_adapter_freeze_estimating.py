"""What training some layers is said to cost, against what is trained."""

import pytest
from tunesmith_adapter_freeze import Freeze
from tunesmith_library_testing.parts import estimate_of, load_plain, source_of
from tunesmith_library_testing.tiny import save_tiny_model


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"trainable_layers": 3},
        {"trainable_layers": -1, "trainable_modules": ["mlp", "self_attn.q_*"]},
        {"trainable_layers": 0, "extra_modules": ["lm_head"]},
        {"trainable_layers": 1, "extra_modules": ["norm", "embed_tokens"]},
    ],
)
@pytest.mark.parametrize("tied", [True, False])
def test_equals_what_is_trained(options, tied, tmp_path):
    folder = save_tiny_model(tmp_path, architecture="qwen3", layers=3, tie_word_embeddings=tied)
    before = estimate_of(load_plain(folder))
    model = Freeze(**options).apply_adapter(load_plain(folder), None, source_of(folder))
    found = Freeze(**options).estimate(before)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert {weight.name for weight in found.weights if weight.trained} == trained
