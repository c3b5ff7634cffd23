"""Weights that are stored in the type that is wanted are the pages of their file, not a copy of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from tunesmith.types import ModelSource, Precision
from tunesmith_library_loading.processors import load_processor
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_model_transformers.loading import load_model

_MAPS = Path("/proc/self/maps")
_CASES: list[tuple[str, dict[str, Any]]] = [
    ("llama", {}),
    ("llama", {"tie_word_embeddings": True}),
    ("qwen3", {}),
    ("gemma2", {}),
    ("qwen3_moe", {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}),
]


def _load(folder: Path, precision: Precision) -> Any:
    source = ModelSource(folder, str(folder), precision, 0, training=True)
    return load_model(
        source, load_processor(folder, False), None, attention="auto", random=False, trust_remote_code=False
    )


@pytest.mark.parametrize(("architecture", "more"), _CASES)
def test_weights_are_those_of_from_pretrained(tmp_path: Path, architecture: str, more: dict[str, Any]) -> None:
    folder = save_tiny_model(tmp_path / "model", architecture=architecture, dtype="bfloat16", **more)
    loaded = _load(folder, "bf16").state_dict()
    expected = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], weight) for name, weight in expected.items())


@pytest.mark.skipif(not _MAPS.is_file(), reason="needs /proc")
def test_the_file_is_mapped_and_training_does_not_write_into_it(tmp_path: Path) -> None:
    file = save_tiny_model(tmp_path / "model", dtype="bfloat16") / "model.safetensors"
    before = hashlib.sha256(file.read_bytes()).digest()
    model = _load(file.parent, "bf16")
    assert str(file) in _MAPS.read_text(), "the weights were copied"
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1.0)
    assert hashlib.sha256(file.read_bytes()).digest() == before
    stored = load_file(file)["model.norm.weight"]
    assert torch.equal(model.model.norm.weight, stored + 1.0)


@pytest.mark.skipif(not _MAPS.is_file(), reason="needs /proc")
def test_weights_of_another_type_are_the_only_copy(tmp_path: Path) -> None:
    file = save_tiny_model(tmp_path / "model", dtype="bfloat16") / "model.safetensors"
    model = _load(file.parent, "fp32")
    assert model.dtype == torch.float32
    assert str(file) not in _MAPS.read_text(), "the file is held beside them"
