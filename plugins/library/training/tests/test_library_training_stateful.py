"""What carries a state from token to token in a model, by its configuration alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tunesmith_library_training.stateful import stateful_layers, stateful_layers_of


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "llama"}, None),
        ({"layer_types": ["full_attention", "sliding_attention"]}, None),
        ({"layer_types": ["linear_attention", "full_attention"]}, "linear_attention in 1 of 2 layers"),
        ({"text_config": {"layer_types": ["linear_attention"] * 3}}, "linear_attention in 3 of 3 layers"),
        ({"layer_types": ["conv", "full_attention"]}, "conv in 1 of 2 layers"),
        ({"model_type": "falcon_h1", "mamba_d_state": 16}, "falcon_h1 with mamba_d_state=16"),
        ({"block_types": ["recurrent", "attention"]}, "recurrent in 1 of 2 layers"),
    ],
)
def test_by_configuration(config: dict[str, Any], expected: str | None) -> None:
    assert stateful_layers(config) == expected


def test_of_a_folder(tmp_path: Path) -> None:
    assert stateful_layers_of(str(tmp_path)) is None and stateful_layers_of("org/name") is None
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba", "state_size": 8}))
    assert stateful_layers_of(str(tmp_path)) == "mamba with state_size=8"
    (tmp_path / "config.json").write_text("{")
    assert stateful_layers_of(str(tmp_path)) is None
