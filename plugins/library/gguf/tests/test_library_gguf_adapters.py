"""LoRA as a GGUF adapter: what llama.cpp makes of it is what peft adds, layer by layer."""

import json
import math
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from safetensors.torch import save_file
from tunesmith import TunesmithError
from tunesmith_library_gguf.adapters import write_adapter

LAYERS = {"self_attn.q_proj": (64, 64), "self_attn.k_proj": (32, 64), "mlp.down_proj": (64, 128)}
PLACES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "mlp.down_proj": "ffn_down"}


def adapter(folder: Path, **more: Any) -> dict[str, torch.Tensor]:
    """A folder of peft with two matrices for each of the layers, of ranks 4 and, for keys, 2."""
    torch.manual_seed(0)
    weights: dict[str, torch.Tensor] = {}
    for name, (rows, columns) in LAYERS.items():
        rank = 2 if "k_proj" in name else 4
        place = f"base_model.model.model.layers.1.{name}.lora_"
        weights |= {f"{place}A.weight": torch.randn(rank, columns), f"{place}B.weight": torch.randn(rows, rank)}
    folder.mkdir()
    save_file(weights, folder / "adapter_model.safetensors", {"format": "pt"})
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none", **more}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return weights


@pytest.mark.parametrize("rslora", [False, True])
def test_the_product_is_what_peft_adds(tiny_llama: Path, tmp_path: Path, rslora: bool) -> None:
    weights = adapter(tmp_path / "run", use_rslora=rslora, alpha_pattern={"k_proj": 3}, rank_pattern={"k_proj": 2})
    assert write_adapter(tmp_path / "lora.gguf", tmp_path / "run", tiny_llama, "sea", "f32") == len(weights)
    reader = gguf.GGUFReader(tmp_path / "lora.gguf")
    said = {key: reader.fields[key].contents() for key in ("general.type", "adapter.type", "adapter.lora.alpha")}
    assert said == {"general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": 8.0}
    held = {tensor.name: torch.from_numpy(tensor.data.copy()) for tensor in reader.tensors}
    for name, place in PLACES.items():
        a, b = (held[f"blk.1.{place}.weight.lora_{part}"] for part in "ab")
        served = b @ a * (8.0 / a.shape[0])  # as llama.cpp scales it: by the file's alpha, and the rank
        alpha, rank = (3, 2) if "k_proj" in name else (8, 4)
        up, down = (weights[f"base_model.model.model.layers.1.{name}.lora_{part}.weight"] for part in "BA")
        added = up @ down * (alpha / (math.sqrt(rank) if rslora else rank))
        if "mlp" not in name:  # rotary pairs are neighbours there, and halves of a head of 16 here
            added = added.view(-1, 2, 8, 64).transpose(1, 2).reshape(added.shape)
        torch.testing.assert_close(served, added)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"use_dora": True, "modules_to_save": ["lm_head"]}, r"\(DoRA\), layers that are trained whole"),
        ({"peft_type": "OFT"}, "the type OFT"),
        ({"bias": "all"}, "trained biases"),
    ],
)
def test_what_is_more_than_lora_is_refused(tiny_llama: Path, tmp_path: Path, more: dict[str, Any], said: str) -> None:
    adapter(tmp_path / "run", **more)
    with pytest.raises(TunesmithError, match=rf"(?s){said}.*adapter=false"):
        write_adapter(tmp_path / "lora.gguf", tmp_path / "run", tiny_llama, "sea", "f32")


def test_a_weight_of_another_kind_is_not_lost(tiny_llama: Path, tmp_path: Path) -> None:
    weights = adapter(tmp_path / "run")
    more = {"base_model.model.model.embed_tokens.lora_embedding_A": torch.ones(4, 8)}
    save_file(weights | more, tmp_path / "run" / "adapter_model.safetensors", {"format": "pt"})
    with pytest.raises(TunesmithError, match=r"no place for the weight .*lora_embedding_A"):
        write_adapter(tmp_path / "lora.gguf", tmp_path / "run", tiny_llama, "sea", "f32")


def test_an_adapter_beside_a_tower_is_refused_with_what_writes_it(tmp_path: Path) -> None:
    from tunesmith_library_testing.seeing import save_seeing_model

    base = save_seeing_model(tmp_path / "gemma3", "gemma3")
    weights = adapter(tmp_path / "run")
    more = {"base_model.model.model.vision_tower.encoder.layers.0.mlp.fc1.lora_A.weight": torch.ones(4, 8)}
    save_file(more | weights, tmp_path / "run" / "adapter_model.safetensors", {"format": "pt"})
    with pytest.raises(TunesmithError, match=r"(?s)more than the language model.*vision_tower.*mmproj=true"):
        write_adapter(tmp_path / "lora.gguf", tmp_path / "run", base, "sea", "f32")
