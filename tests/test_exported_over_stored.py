"""Runs over bases that are stored in few bits: what the bits stand for in float32, the adapter added, rounded once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import tunesmith
from safetensors.torch import load_file
from tunesmith import TunesmithError
from tunesmith_exporter_merged import Merged
from tunesmith_library_testing.damage import flipped, written_by
from tunesmith_library_testing.parts import StubPlan, load_plain
from tunesmith_library_testing.tiny import save_tiny_model

FEW_BITS = {
    "bitsandbytes-4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
    "bitsandbytes-8": {"load_in_8bit": True},
}


def stored(folder: Path, form: str, base: Path, tokenizer: Any) -> Path:
    """A base in few bits, as others publish it."""
    if form.startswith("bitsandbytes"):
        from transformers import AutoModelForCausalLM, BitsAndBytesConfig

        config = BitsAndBytesConfig(**FEW_BITS[form])
        AutoModelForCausalLM.from_pretrained(base, quantization_config=config, dtype="bfloat16").save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder
    data = folder.with_suffix(".json")
    data.write_text(json.dumps([{"instruction": f"Say {n}.", "output": "The tide turns. " * n} for n in range(1, 9)]))
    run = {
        "model.path": str(base),
        "template": "chatml",
        "data": {"train": [str(data)], "cache": False},
        "quantizer": {"name": form, "group_size": 32},
        "adapter": "lora",
        "precision": "fp32",
        "output_dir": str(folder),
        "trainer": {"max_steps": 1, "save_strategy": "no"},
        "tracker": ["jsonl"],
    }
    return tunesmith.train(None, run) / "quantized"


def full_weights(folder: Path, form: str) -> Callable[[str], torch.Tensor]:
    """By the formats' descriptions, from the files: the weight (out, in) of a layer, float64."""
    tensors = load_file(folder / "model.safetensors")

    def of_4_bits(name: str) -> torch.Tensor:
        part = {key.removeprefix(f"{name}.weight"): tensors[key] for key in tensors if key.startswith(f"{name}.weight")}
        told = json.loads(bytes(part[".quant_state.bitsandbytes__nf4"].tolist()))
        blocks, outer = part[".absmax"].long(), told["nested_blocksize"]
        scale = (
            part[".nested_quant_map"].double()[blocks]
            * part[".nested_absmax"].double().repeat_interleave(outer)[: len(blocks)]
        )
        scale = scale + told["nested_offset"]
        packed = part[""].flatten().long()
        codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten()
        values = part[".quant_map"].double()[codes].view(-1, told["blocksize"]) * scale[:, None]
        return values.view(told["shape"])

    def of_8_bits(name: str) -> torch.Tensor:
        return tensors[f"{name}.weight"].double() * tensors[f"{name}.SCB"].double()[:, None] / 127

    def nibbles(words: torch.Tensor, order: tuple[int, ...]) -> torch.Tensor:
        """Numbers of 4 bits out of the words of a row, (N, C) to (N, 8 C)."""
        return torch.stack([(words.long() >> (4 * at)) & 15 for at in order], dim=2).flatten(1)

    def of_gptq(name: str) -> torch.Tensor:
        plain = tuple(range(8))
        codes = nibbles(tensors[f"{name}.qweight"].T, plain).T  # (in, out)
        zeros = (nibbles(tensors[f"{name}.qzeros"], plain) + 1) & 15
        groups = tensors[f"{name}.g_idx"].long()
        return ((codes - zeros[groups]) * tensors[f"{name}.scales"].double()[groups]).T

    def of_awq(name: str) -> torch.Tensor:
        order = (0, 4, 1, 5, 2, 6, 3, 7)  # where in a word the columns stand
        codes, zeros = (nibbles(tensors[f"{name}.{part}"], order) for part in ("qweight", "qzeros"))
        scales = tensors[f"{name}.scales"].double()
        size = len(codes) // len(scales)
        return ((codes - zeros.repeat_interleave(size, 0)) * scales.repeat_interleave(size, 0)).T

    return {"bitsandbytes-4": of_4_bits, "bitsandbytes-8": of_8_bits, "gptq": of_gptq, "awq": of_awq}[form]


def run_over(base: Path, quantizer: str, folder: Path, tokenizer: Any, plain: Path) -> dict[str, torch.Tensor]:
    """An adapter over a base as a run leaves it; what it adds to each layer (out, in), float64."""
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(load_plain(plain), LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    with torch.random.fork_rng():
        torch.manual_seed(3)
        for name, weight in model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(weight, std=0.05)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = {"model": {"path": str(base)}, "template": "chatml", "adapter": "lora", "quantizer": quantizer}
    (folder / "run.yaml").write_text(json.dumps(config))
    held = load_file(folder / "adapter_model.safetensors")
    added = {}
    for key, low in held.items():
        if "lora_A" in key:
            high = held[key.replace("lora_A", "lora_B")]
            added[key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")] = (
                high.double() @ low.double() * 2
            )
    return added


@pytest.mark.slow
@pytest.mark.parametrize("form", [*FEW_BITS, "gptq", "awq"])
def test_a_base_that_is_stored_in_few_bits(tmp_path: Path, tiny_bpe: Any, form: str) -> None:
    """What is written is what the formats' descriptions and the adapter give in float64, rounded once."""
    plain = save_tiny_model(tmp_path / "plain", dtype="bfloat16", tokenizer=tiny_bpe)
    base = stored(tmp_path / "base", form, plain, tiny_bpe)
    added = run_over(base, form.partition("-")[0], tmp_path / "run", tiny_bpe, plain)
    written = tunesmith.export(tmp_path / "run", ["exporter.dtype=bfloat16"])
    tensors, weight_of = load_file(written / "model.safetensors"), full_weights(base, form)
    assert tensors.keys() == load_file(plain / "model.safetensors").keys()
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    assert len(added) == 14
    for name, delta in added.items():
        expected = weight_of(name) + delta
        apart = (tensors[f"{name}.weight"].double() - expected).abs()
        assert (apart <= expected.abs() * 2**-8 + 1e-6).all(), name
    assert "quantization_config" not in (written / "config.json").read_text()
    assert load_plain(written).config.architectures == ["LlamaForCausalLM"]
    report = json.loads((written / "export_report.json").read_text())
    assert 0 <= report["stages"]["dequantising"]["divergence"] < 0.01
    assert report["tensors"]["held"] == len(tensors) and "lost" not in report["tensors"]


@pytest.mark.slow
def test_the_adapter_alone_over_few_bits_that_transformers_does_not_load(tmp_path: Path, tiny_bpe: Any) -> None:
    """It is compared over the bits as the run reads them, to the last digit."""
    writing = pytest.importorskip("tunesmith_exporter_adapter.writing")
    plain = save_tiny_model(tmp_path / "plain", dtype="bfloat16", tokenizer=tiny_bpe)
    base = stored(tmp_path / "base", "gptq", plain, tiny_bpe)
    run_over(base, "gptq", tmp_path / "run", tiny_bpe, plain)
    written = tunesmith.export(tmp_path / "run", ["exporter=adapter"])
    report = json.loads((written / "export_report.json").read_text())
    assert report["program"].endswith("over gptq as the run reads it") and report["figures"]["largest"] < 1e-3
    broken = written_by(writing, "_write", flipped("lora_B"), lambda handle, adapter, folder, base: folder)
    with broken, pytest.raises(TunesmithError, match="logits differ by"):
        tunesmith.export(tmp_path / "run", ["exporter=adapter"], output_dir=tmp_path / "broken")


@pytest.mark.slow
def test_without_the_quantizer_it_is_refused(tmp_path: Path, tiny_bpe: Any) -> None:
    plain = save_tiny_model(tmp_path / "plain", dtype="bfloat16", tokenizer=tiny_bpe)
    base = stored(tmp_path / "base", "bitsandbytes-8", plain, tiny_bpe)
    run_over(base, "bitsandbytes", tmp_path / "run", tiny_bpe, plain)
    with pytest.raises(TunesmithError, match=r"(?s)stored in few bits \(bitsandbytes\).*quantizer=bitsandbytes"):
        tunesmith.export(tmp_path / "run", ["quantizer=null"])


def test_what_is_stored_is_told_from_what_is_quantised_on_the_fly(tmp_path: Path) -> None:
    """The latter merges into its 16-bit base, and that is said before anything is loaded."""

    def problems(config: dict[str, Any], quantizer: dict[str, Any]) -> list[str]:
        (tmp_path / "config.json").write_text(json.dumps(config))
        exporter = Merged()
        plugins = {"exporter": {"merged": exporter}, "quantizer": quantizer}
        plan = StubPlan(plugins, "export", {"model.path": str(tmp_path)})
        return [problem.advice or "" for problem in exporter.check(plan)]

    few_bits = {"quantization_config": {"quant_method": "gptq"}}
    assert problems(few_bits, {"gptq": None}) == []
    assert ["quantizer=null" in advice for advice in problems({}, {"gptq": None})] == [True]
    assert ["16-bit version" in advice for advice in problems(few_bits, {})] == [True]
    assert problems({}, {}) == []
