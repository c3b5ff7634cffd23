"""Weights that hold a file: copied out of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from tunesmith_library_weights.mapped import copy_out

MAPS = Path("/proc/self/maps")


@pytest.mark.skipif(not MAPS.exists(), reason="the system does not tell what is mapped")
def test_weights_are_copied_out_of_their_file(tmp_path: Path) -> None:
    numbers = {name: torch.randn(64, 64) for name in ("table", "other")}
    file = tmp_path / "mapped.safetensors"
    save_file(numbers, file)
    model = nn.Module()
    model.register_parameter("table", table := nn.Parameter(load_file(file)["table"], requires_grad=False))
    held = str(file) in MAPS.read_text()
    assert copy_out(model) is model
    assert model.table is table
    assert torch.equal(table, numbers["table"])
    assert held
    assert str(file) not in MAPS.read_text()
