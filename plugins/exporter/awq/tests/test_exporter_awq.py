"""A checkpoint in AWQ's layout: by the layout's own formulas it computes what the trained model does."""

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file
from tunesmith_exporter_awq import Awq
from tunesmith_library_compressing import steps
from tunesmith_library_testing import ExporterSuite
from tunesmith_library_testing.damage import Break, Damage, flipped, written_by
from tunesmith_library_testing.parts import CHATML, handle_of, load_plain, logits_of

COLUMNS = (0, 2, 4, 6, 1, 3, 5, 7)  # of the half bytes of a word, from the lowest


def exported(folder: Path, tokenizer: Any, output_dir: Path, load: Any = None, **options: Any) -> Path:
    file = folder.parent / "questions.json"
    rows = [{"instruction": f"Which tide is number {n}?", "output": f"It comes at {n + 3}:07."} for n in range(24)]
    file.write_text(json.dumps(rows))
    awq = Awq(**{"group_size": 32, "data": str(file), **options})
    handle = handle_of(folder, tokenizer, template=CHATML.bind(tokenizer), load=load)
    with handle.shared:
        written = awq.export(handle, output_dir)
    return written


class TestAwq(ExporterSuite):
    plugin = Awq
    for_transformers: ClassVar[bool] = False
    damages: ClassVar[dict[str, Damage]] = {
        "a norm with a scale": Damage(
            flipped("0.input_layernorm"), r"input_layernorm\.weight has other values than were"
        ),
    }

    def damaged(self, happen: Break) -> AbstractContextManager[None]:
        return written_by(steps, "write_folder", happen, lambda whole, folder, *_: folder)

    def export(self, folder: Path, tokenizer: Any, output_dir: Path, load: Any = None) -> Path:
        verify = bool(load is None and "there" in output_dir.parts and output_dir.parts[-3].isdigit())
        return exported(folder, tokenizer, output_dir, load, verify=verify)


def numbers(words: torch.Tensor) -> torch.Tensor:
    """(N, C / 8) to (N, C): half byte i of a word is column (0, 2, 4, 6, 1, 3, 5, 7)[i]."""
    found = torch.empty(len(words), words.shape[1] * 8, dtype=torch.int64)
    for place, column in enumerate(COLUMNS):
        found[:, column::8] = (words.long() >> (4 * place)) & 15
    return found


@pytest.mark.slow
def test_the_layout(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    """Norms with their scales and weights by the layout's formulas, in a plain model, say what the trained one says."""
    out = exported(tiny_llama, tiny_bpe, tmp_path / "out")
    said = json.loads((out / "config.json").read_text())["quantization_config"]
    assert said == {
        **{"quant_method": "awq", "version": "gemm", "bits": 4, "group_size": 32, "zero_point": True},
        "modules_to_not_convert": None,
    }
    tensors = load_file(out / "model.safetensors")
    plain = load_plain(tiny_llama)
    for name in [name.removesuffix(".scales") for name in tensors if name.endswith(".scales")]:
        zeros, scales = numbers(tensors[f"{name}.qzeros"]), tensors[f"{name}.scales"].float()
        groups = torch.arange(len(tensors[f"{name}.qweight"])) // 32
        weight = (numbers(tensors[f"{name}.qweight"]) - zeros[groups]) * scales[groups]
        plain.get_submodule(name).weight.data = weight.T.contiguous()
    norms = [name for name in tensors if name.endswith("layernorm.weight")]
    for name in norms:
        plain.get_parameter(name).data = tensors[name]
    trained = load_plain(tiny_llama)
    changed = sum(not torch.equal(tensors[name], trained.get_parameter(name)) for name in norms)
    difference, spread = logits_of(plain, tiny_bpe) - logits_of(trained, tiny_bpe), logits_of(trained, tiny_bpe).std()
    assert difference.std() < 0.2 * spread
    report = json.loads((out / "export_report.json").read_text())
    assert report["tensors"]["rounded"] == 14 and report["tensors"]["changed"] == changed > 1
    assert report["program"].endswith("with tunesmith-library-quantizing")


@pytest.mark.slow
def test_other_bits_are_in_the_layout_of_gptq(
    tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "tunesmith"):
        out = exported(tiny_llama, tiny_bpe, tmp_path / "out", bits=3, verify=False, skip_modules=["v_proj"])
    said = json.loads((out / "config.json").read_text())["quantization_config"]
    assert (said["quant_method"], said["checkpoint_format"], said["bits"]) == ("gptq", "gptq_v2", 3)
    assert list(said["dynamic"]) == [rf"-:^model\.layers\.{n}\.self_attn\.v_proj$" for n in range(2)]
    assert "stored: in the layout of GPTQ" in caplog.text and "v_proj" in caplog.text
