"""Which layers are rounded and what files call them; and every tensor and file beside what was to be written."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tunesmith import TunesmithError
from tunesmith.types import Batch
from tunesmith_library_compressing.layers import layers_of, names_in_files, say_share, warn_of_torn
from tunesmith_library_compressing.packed import LIMITS, Packed
from tunesmith_library_compressing.proof import files_differ, tensors_differ
from tunesmith_library_compressing.writing import write_folder
from tunesmith_library_quantizing.quantising import Quantised, Settings, linear_layers
from tunesmith_library_testing.parts import load_plain
from tunesmith_library_testing.tiny import MIXTURES, save_tiny_model


class Nothing(Packed):
    """A method that rounds nothing."""

    def quantise(self, model: Any, batches: Sequence[Batch], settings: Settings) -> Quantised:
        raise NotImplementedError


def method(skip: Sequence[str] = (), group_size: int = 32, config: dict[str, Any] | None = None) -> Nothing:
    made = Nothing(Settings(4, group_size, True, 8, 64, skip, "exporter.mine"))
    made._config = config or {"quant_method": "gptq", "bits": 4}
    return made


def test_experts_stay_and_are_named(tmp_path: Path, tiny_bpe: Any, caplog: pytest.LogCaptureFixture) -> None:
    """As the files call them: transformers holds Mixtral's experts in one tensor, and its files in three for each."""
    options = {**MIXTURES["mixtral"], "intermediate_size": 32}
    folder = save_tiny_model(tmp_path / "base", architecture="mixtral", tokenizer=tiny_bpe, layers=1, **options)
    model, mine = load_plain(folder), method(["o_proj"])
    layers = layers_of(model, folder, mine)
    rounded = [name for name in linear_layers(model) if "o_proj" not in name]
    names = names_in_files(model, folder, layers, rounded)
    assert list(names.rounded) == [f"model.layers.0.self_attn.{part}_proj" for part in "qkv"]
    assert sorted(names.left) == ["model.layers.0.block_sparse_moe.gate", "model.layers.0.self_attn.o_proj"]
    assert names.experts == ("model.layers.0.block_sparse_moe.experts",) and names.head == ("lm_head",)
    patterns = list(mine.config(names)["dynamic"])
    assert patterns[-1] == r"-:^model\.layers\.0\.block_sparse_moe\.experts(\.|$)" and len(patterns) == 3
    awq = method(config={"quant_method": "awq", "version": "gemm", "bits": 4}).config(names)
    assert awq["modules_to_not_convert"] == [*names.left, "model.layers.0.block_sparse_moe.experts"]
    assert [name for name in names.left if "experts" in name] == []
    held = load_file(folder / "model.safetensors")
    counts = {name: weight.numel() for name, weight in held.items() if weight.ndim > 1}
    reached = sum(counts[f"{name}.weight"] for name in names.rounded) / sum(counts.values())
    with caplog.at_level("INFO", "tunesmith"):
        few, full = say_share(folder, names, "in 4 bits")
    assert few == f"{100 * reached:.0f}% of the weights" and "block_sparse_moe.experts.w1" in full


def test_layers_that_servers_fuse(tiny_llama: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = load_plain(tiny_llama)
    layers, linear = layers_of(model, tiny_llama, method()), linear_layers(model)
    warn_of_torn(layers, [name for name in linear if "o_proj" not in name and "down" not in name])
    assert caplog.text == ""
    warn_of_torn(layers, [name for name in linear if "v_proj" not in name and "0.mlp.up" not in name])
    assert "3 layers stay in full" in caplog.text and "model.layers.0.self_attn.v_proj" in caplog.text


def test_what_the_user_asks_for_must_be_there(tiny_llama: Path) -> None:
    model = load_plain(tiny_llama)
    with pytest.raises(TunesmithError, match=r"exporter\.mine\.skip_modules=q_porj: fits no layer"):
        layers_of(model, tiny_llama, method(["q_porj"]))
    with pytest.raises(TunesmithError, match=r"(?s)no layer.*can be rounded: the 64 × 64 .*exporter\.mine\.group_size"):
        layers_of(model, tiny_llama, method(group_size=48))


def test_every_tensor_and_file_counts(tiny_llama: Path, tmp_path: Path) -> None:
    gone = "model.layers.0.mlp.up_proj.weight"
    new = {"model.layers.0.mlp.up_proj.qweight": torch.arange(8), "model.norm.weight": torch.full((64,), float("nan"))}
    folder = tmp_path / "out"
    write_folder(tiny_llama, folder, new, {gone}, {"quant_method": "gptq"}, "5GB")
    count = len(load_file(tiny_llama / "model.safetensors"))
    assert tensors_differ(folder, tiny_llama, new, [gone]) == (
        [],
        {"held": count, "copied": count - 2, "rounded": 1, "changed": 1},
    )
    assert files_differ(folder, tiny_llama) == []
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.qweight"][3] = 9
    weights["lm_head.weight"][0, 0] += 1e-6
    del weights["model.norm.weight"]
    save_file({**weights, "more": torch.zeros(2)}, folder / "model.safetensors")
    (folder / "tokenizer.json").unlink()
    (folder / "generation_config.json").write_text("{}")
    (folder / "config.json").write_text((folder / "config.json").read_text().replace('"rms_norm_eps": 1e-06', '"a": 1'))
    problems, _ = tensors_differ(folder, tiny_llama, new, [gone])
    assert sorted(problems) == [
        "lm_head.weight has other values than the merged model",
        "model.layers.0.mlp.up_proj.qweight has other values than were to be written",
        "model.norm.weight is missing",
        "more should not be there",
    ]
    assert files_differ(folder, tiny_llama) == [
        "generation_config.json is another than the merged model's",
        "tokenizer.json is missing",
        "config.json says a=1, and the merged one None",
        "config.json says rms_norm_eps=None, and the merged one 1e-06",
    ]


def test_fewer_bits_may_differ_by_more() -> None:
    """A healthy file of 4 bits is within its limits by what would be beyond those of 8."""
    figures = SimpleNamespace(largest=1.0, divergence=0.2, same_choice=0.9, worse=1.1, perplexity_before=9.0)
    assert LIMITS[4].passed(figures) == [] and LIMITS[8].passed(figures)  # type: ignore[arg-type]
