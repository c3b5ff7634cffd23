"""The compressed-tensors format: its schemes by their formulas, decompressed by its package, loaded by transformers."""

import json
import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from compressed_tensors.compressors import BaseCompressor
from safetensors.torch import load_file
from tunesmith import TunesmithError
from tunesmith_exporter_compressed import Compressed
from tunesmith_exporter_compressed.rounding import round_by_gptq, to_fp4, to_fp8
from tunesmith_exporter_compressed.schemes import SCHEMES
from tunesmith_library_compressing import steps
from tunesmith_library_quantizing.calibration import Statistics
from tunesmith_library_quantizing.quantising import Settings
from tunesmith_library_testing import ExporterSuite
from tunesmith_library_testing.damage import Break, Damage, flipped, written_by
from tunesmith_library_testing.parts import CHATML, handle_of, load_plain, logits_of
from tunesmith_library_testing.tiny import save_tiny_mixture

FP4 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6], dtype=torch.float64)
LAYER = "model.layers.0.self_attn.k_proj"


def exported(folder: Path, tokenizer: Any, output_dir: Path, load: Any = None, **options: Any) -> Path:
    file = folder.parent / "questions.json"
    rows = [{"instruction": f"Which tide is number {n}?", "output": f"It comes at {n + 3}:07."} for n in range(24)]
    file.write_text(json.dumps(rows))
    compressed = Compressed(**{"group_size": 32, "data": str(file), **options})
    handle = handle_of(folder, tokenizer, template=CHATML.bind(tokenizer), load=load)
    with handle.shared:
        written = compressed.export(handle, output_dir)
    return written


class TestCompressed(ExporterSuite):
    plugin = Compressed
    tolerance: ClassVar[float] = 0.1
    damages: ClassVar[dict[str, Damage]] = {
        "a scale": Damage(flipped("up_proj.weight_scale"), r"(?s)up_proj\.weight_scale has other .*writing changes"),
    }

    def damaged(self, happen: Break) -> AbstractContextManager[None]:
        return written_by(steps, "write_folder", happen, lambda whole, folder, *_: folder)

    def export(self, folder: Path, tokenizer: Any, output_dir: Path, load: Any = None) -> Path:
        verify = bool(load is None and "there" in output_dir.parts and output_dir.parts[-3].isdigit())
        return exported(folder, tokenizer, output_dir, load, verify=verify)


def weights(out: int = 24, width: int = 64) -> torch.Tensor:
    found = torch.randn(out, width, generator=torch.Generator().manual_seed(3))
    found[0] *= 20
    return found


def decompressed(scheme: str, parts: Any, group_size: int = -1, sym: bool = True) -> torch.Tensor:
    """What the package makes of what it is given, there and back."""
    described = SCHEMES[scheme].described(group_size, sym)
    compressor = BaseCompressor.get_value_from_registry(SCHEMES[scheme].form)
    made = compressor.compress({"weight": parts.weight, **parts.scales}, described)
    weight: torch.Tensor = compressor.decompress(made, described)["weight"]
    return weight.double()


@pytest.mark.parametrize("whole", [False, True], ids=["a scale per row", "one scale"])
def test_8_bit_floats(whole: bool) -> None:
    """The largest weight is 448, and the others are rounded to three binary digits after the leading one."""
    weight = weights()
    parts = to_fp8(weight, whole)
    scale = parts.scales["weight_scale"].double()
    assert scale.shape == ((1,) if whole else (24, 1))
    largest = weight.double().abs().amax() if whole else weight.double().abs().amax(1, keepdim=True)
    torch.testing.assert_close(scale, (largest / 448).expand_as(scale), rtol=1e-6, atol=0)
    scaled = weight.double() / scale
    step = 2.0 ** (scaled.abs().log2().floor().clamp(min=-6) - 3)
    expected = (scaled / step).round() * step * scale
    found = decompressed("fp8_tensor" if whole else "fp8", parts)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


def test_4_bit_floats() -> None:
    """NVFP4: 16 weights share a scale of 8 bits, all layers with one input one of 32 bits."""
    named = {"q": weights(), "k": weights(8) / 7}
    described = SCHEMES["nvfp4"].described(-1, True)
    seen = Statistics()
    seen.add(torch.tensor([[0.5, -12.0], [3.0, 1.0]]))
    parts = to_fp4(named, described, seen)
    largest = max(float(weight.abs().max()) for weight in named.values())
    for name, weight in named.items():
        common = parts[name].scales["weight_global_scale"].double()
        assert float(common) == pytest.approx(448 * 6 / largest, rel=1e-6)
        assert float(parts[name].scales["input_global_scale"]) == pytest.approx(448 * 6 / 12.0, rel=1e-6)
        grouped = weight.double().unflatten(1, (-1, 16))
        local = (grouped.abs().amax(-1) / 6 * common).to(torch.float8_e4m3fn).double()
        scaled = grouped / (local / common)[..., None]
        nearest = (scaled.abs()[..., None] - FP4).abs().argmin(-1)
        expected = (FP4[nearest] * scaled.sign() * (local / common)[..., None]).flatten(1)
        found = decompressed("nvfp4", parts[name])
        close = (found - expected).abs() <= 0.01 * expected.abs() + 1e-6
        assert close.double().mean() > 0.995, "but where a weight lies in the middle of two"


@pytest.mark.parametrize("sym", [True, False], ids=["no zero points", "zero points"])
@pytest.mark.parametrize(("scheme", "group_size"), [("w4a16", 32), ("w4a16", -1), ("w8a8", -1)])
def test_whole_numbers(scheme: str, group_size: int, sym: bool) -> None:
    """What the package decompresses is what GPTQ chose, with scales that bfloat16 has; better than to nearest."""
    if scheme == "w8a8" and not sym:
        pytest.skip("has no zero points")
    weight, inputs = weights().bfloat16(), torch.randn(500, 64) @ torch.randn(64, 64)
    seen = Statistics()
    seen.add(inputs)
    settings = Settings(SCHEMES[scheme].bits, group_size, sym, 1, 1, [])
    parts = round_by_gptq(weight, seen, settings, 64 if group_size == -1 else group_size, 0.01)
    scales = parts.scales["weight_scale"]
    assert torch.equal(scales, scales.bfloat16().float()) and scales.shape == (24, 1 if group_size == -1 else 2)
    found = decompressed(scheme, parts, group_size, sym)
    torch.testing.assert_close(found, parts.weight.double(), rtol=1e-5, atol=1e-6)
    largest = weight.double().unflatten(1, (scales.shape[1], -1)).abs().amax(-1)
    step = 2 * largest / (2**settings.bits - 1)
    nearest = (weight.double().unflatten(1, (scales.shape[1], -1)) / step[..., None]).round() * step[..., None]
    error, of_nearest = (((made - weight.double()) @ inputs.T.double()).norm() for made in (found, nearest.flatten(1)))
    assert error < of_nearest


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["fp8_tensor", "w8a8", "w4a16", "nvfp4"])
def test_each_scheme_is_loaded_by_transformers(
    tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, scheme: str, capfd: pytest.CaptureFixture[str]
) -> None:
    out = exported(tiny_llama, tiny_bpe, tmp_path / "out", scheme=scheme)
    bars = capfd.readouterr().err
    assert not any(what in bars for what in ("Applying", "ompressing", "Dispatching")), "the package shows bars"
    said = json.loads((out / "config.json").read_text())["quantization_config"]
    assert (said["quant_method"], said["format"], said["ignore"]) == (
        *("compressed-tensors", SCHEMES[scheme].form),
        ["lm_head"],
    )
    tensors, base = load_file(out / "model.safetensors"), load_file(tiny_llama / "model.safetensors")
    held = {name.removeprefix(f"{LAYER}.") for name in tensors if name.startswith(f"{LAYER}.")}
    packed = {"weight_packed", "weight_scale"}
    assert (
        held
        == {
            "fp8_tensor": {"weight", "weight_scale"},
            "w8a8": {"weight", "weight_scale"},
            "w4a16": packed | {"weight_shape"},
            "nvfp4": packed | {"weight_global_scale", "input_global_scale"},
        }[scheme]
    )
    numbers = torch.bfloat16 if scheme == "nvfp4" else torch.float32
    assert torch.equal(tensors["model.embed_tokens.weight"], base["model.embed_tokens.weight"].to(numbers))
    report = json.loads((out / "export_report.json").read_text())
    assert "compressed-tensors" in report["program"] and report["tensors"]["rounded"] == 14
    assert 0 < report["figures"]["divergence"] < 0.01
    plain = load_plain(out, str(numbers).removeprefix("torch."))
    difference = logits_of(plain, tiny_bpe).float() - logits_of(load_plain(tiny_llama), tiny_bpe)
    assert 0 < difference.abs().max() < 0.3


def test_experts_that_transformers_could_not_read(tmp_path: Path, tiny_bpe: Any) -> None:
    folder = save_tiny_mixture(tmp_path / "base", "qwen3_moe", tokenizer=tiny_bpe, layers=1)
    model = load_plain(folder)
    files = load_file(folder / "model.safetensors")
    said = Compressed(scheme="w4a16").method().unreadable(model, files)
    assert re.search(r"experts\.0\.\w+\.weight(?s:.*)\n  exporter\.compressed\.scheme=fp8, or exporter=gptq", said)
    with pytest.raises(TunesmithError, match="reads no experts in full"):
        steps.refuse_unreadable(folder, Compressed(scheme="w4a16").method())
    steps.refuse_unreadable(folder, Compressed(scheme="fp8").method())
    assert Compressed(scheme="fp8").method().unreadable(model, files) == ""
    assert Compressed(scheme="w4a16").method().unreadable(model, [name for name, _ in model.named_parameters()]) == ""
