"""A checkpoint in GPTQ's layout: by the layout's own formulas, beside the trained model, and broken in every part."""

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import kl_div
from tunesmith import TunesmithError
from tunesmith_exporter_gptq import Gptq
from tunesmith_library_compressing import proof, steps
from tunesmith_library_proving.texts import texts_of
from tunesmith_library_testing import ExporterSuite
from tunesmith_library_testing.damage import Break, Damage, flipped, other_text, other_values, written_by
from tunesmith_library_testing.parts import CHATML, StubPlan, handle_of, load_plain
from tunesmith_library_testing.tiny import save_tiny_model

LAYER = "model.layers.1.mlp.down_proj"


def questions(beside: Path) -> str:
    """A file of conversations to calibrate on."""
    file = beside / "questions.json"
    rows = [{"instruction": f"Which tide is number {n}?", "output": f"It comes at {n + 3}:07."} for n in range(24)]
    file.write_text(json.dumps(rows))
    return str(file)


def exported(folder: Path, tokenizer: Any, output_dir: Path, load: Any = None, **options: Any) -> Path:
    gptq = Gptq(**{"group_size": 32, "data": questions(folder.parent), **options})
    handle = handle_of(folder, tokenizer, template=CHATML.bind(tokenizer), load=load)
    with handle.shared:
        written = gptq.export(handle, output_dir)
    return written


def writing(happen: Break) -> AbstractContextManager[None]:
    return written_by(steps, "write_folder", happen, lambda whole, folder, *_: folder)


class TestGptq(ExporterSuite):
    plugin = Gptq
    for_transformers: ClassVar[bool] = False
    damages: ClassVar[dict[str, Damage]] = {
        "a scale": Damage(flipped("up_proj.scales"), r"(?s)0\.mlp\.up_proj\.scales has other values.*writing changes"),
        "a column's group": Damage(flipped("down_proj.g_idx", by=1), r"0\.mlp\.down_proj\.g_idx has other values"),
        "what stays": Damage(flipped("embed_tokens"), r"model\.embed_tokens\.weight has other values than the merged"),
        "a special token": Damage(
            other_values("tokenizer_config.json", eos_token="<pad>"), r"eos_token is '<pad>', and '</s>' in training"
        ),
        "a character of the template": Damage(
            other_text("chat_template.jinja", "assistant\\n", "assistant\\t"), r"the template writes"
        ),
    }

    def damaged(self, happen: Break) -> AbstractContextManager[None]:
        return writing(happen)

    def export(self, folder: Path, tokenizer: Any, output_dir: Path, load: Any = None) -> Path:
        verify = bool(load is None and "there" in output_dir.parts and output_dir.parts[-3].isdigit())
        return exported(folder, tokenizer, output_dir, load, verify=verify)


def unpacked(words: torch.Tensor, bits: int, count: int) -> torch.Tensor:
    """By the definition of the layout: a column is one stream of bits, from the lowest of the first word."""
    rows = []
    for row in range(count):
        stream = torch.zeros(words.shape[1], dtype=torch.int64)
        for bit in range(bits):
            at = row * bits + bit
            stream |= ((words[at // 32].long() >> (at % 32)) & 1) << bit
        rows.append(stream)
    return torch.stack(rows)


def weight_of(tensors: dict[str, torch.Tensor], layer: str, bits: int, lessened: int = 1) -> torch.Tensor:
    """s (q - z), (out, in), float64, where `gptq` stores z - 1."""
    qweight, qzeros, scales, order = (tensors[f"{layer}.{part}"] for part in ("qweight", "qzeros", "scales", "g_idx"))
    codes = unpacked(qweight, bits, len(order))
    zeros = (unpacked(qzeros.T, bits, scales.shape[1]).T + lessened) & (2**bits - 1)
    weight: torch.Tensor = scales.double()[order.long()] * (codes - zeros[order.long()])
    return weight.T


@pytest.mark.parametrize(
    ("options", "bound"),
    [
        ({"bits": 4}, 0.2),
        pytest.param({"bits": 8, "desc_act": True}, 0.012, marks=pytest.mark.slow),
        pytest.param({"bits": 3, "sym": False, "damping": 0.1}, 0.45, marks=pytest.mark.slow),
    ],
    ids=["4 bits", "8 bits, by activations", "3 bits, zero points"],
)
def test_the_layout(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, options: dict[str, Any], bound: float) -> None:
    """What is written says, by the layout's formulas, weights near the merged ones; all else is theirs bit for bit."""
    out = exported(tiny_llama, tiny_bpe, tmp_path / "out", verify=False, **options)
    said = json.loads((out / "config.json").read_text())["quantization_config"]
    expected = {"quant_method": "gptq", "group_size": 32, "lm_head": False, "desc_act": False, "sym": True, **options}
    expected |= {"damp_percent": expected.pop("damping", 0.01)}
    assert said.items() >= expected.items() and "dynamic" not in said
    lessened = 1 if expected["sym"] else 0
    assert said["checkpoint_format"] == ("gptq" if lessened else "gptq_v2")
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_llama, out))
    found = weight_of(after, LAYER, options["bits"], lessened)
    wanted = before[f"{LAYER}.weight"].double()
    assert 0 < (found - wanted).norm() / wanted.norm() < bound
    assert f"{LAYER}.weight" not in after and after[f"{LAYER}.scales"].dtype == torch.float16
    kept = {name for name in before if "proj" not in name}
    assert kept == before.keys() & after.keys() and all(torch.equal(before[name], after[name]) for name in kept)


@pytest.mark.slow
def test_the_proof(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The report's divergence is that of a plain model with the weights that the layout's formulas give, in float64."""
    with caplog.at_level("INFO", "tunesmith"):
        out = exported(tiny_llama, tiny_bpe, tmp_path / "out")
    report = json.loads((out / "export_report.json").read_text())
    trained, rounded = load_plain(tiny_llama, "float64"), load_plain(tiny_llama, "float64")
    tensors = load_file(out / "model.safetensors")
    layers = [name.removesuffix(".scales") for name in tensors if name.endswith(".scales")]
    for layer in layers:
        rounded.get_submodule(layer).weight.data = weight_of(tensors, layer, 4)
    assert report["tensors"] == {"held": 63, "copied": 7, "rounded": 14, "changed": 0, "equal": True}
    total, count = 0.0, 0
    for text in texts_of(handle_of(tiny_llama, tiny_bpe, template=CHATML.bind(tiny_bpe))).texts:
        ids = torch.tensor([text.compared(1000)])
        with torch.no_grad():
            p, q = (model(input_ids=ids).logits[0].log_softmax(-1) for model in (trained, rounded))
        total, count = total + float(kl_div(q, p, log_target=True, reduction="sum")), count + ids.shape[1]
    assert report["figures"]["positions"] == count
    assert report["figures"]["divergence"] == pytest.approx(total / count, rel=0.02)
    assert report["program"].endswith("with tunesmith-library-quantizing")
    assert report["rounding"]["share"] == "60% of the weights" and "embed_tokens (20%)" in report["rounding"]["in_full"]
    assert "calibrated" in caplog.text and "in 4 bits: 60% of the weights" in caplog.text


@pytest.mark.slow
def test_a_broken_file_of_8_bits_says_something_else(
    tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though nobody compares its bits: a sound one of 2 bits passes, and one scale of one of 8 does not."""
    monkeypatch.setattr(proof, "tensors_differ", lambda *_: ([], {}))
    exported(tiny_llama, tiny_bpe, tmp_path / "two", bits=2)
    with writing(flipped("down_proj.scales", by=4.0)), pytest.raises(TunesmithError, match="writing changes the model"):
        exported(tiny_llama, tiny_bpe, tmp_path / "eight", bits=8)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["two"]


@pytest.mark.slow
def test_layers_that_do_not_come_out_even(tiny_bpe: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = save_tiny_model(tmp_path / "base", tokenizer=tiny_bpe, intermediate_size=80)
    with caplog.at_level("INFO", "tunesmith"):
        out = exported(folder, tiny_bpe, tmp_path / "out")
    assert "not rounded: 6 of 14 layers (their sizes do not come out even: model.layers.0.mlp.gate_proj" in caplog.text
    said = json.loads((out / "config.json").read_text())["quantization_config"]["dynamic"]
    assert len(said) == 6 and r"-:^model\.layers\.1\.mlp\.down_proj$" in said
    assert len(json.loads((out / "export_report.json").read_text())["rounding"]["uneven"]) == 6


def test_what_cannot_be_rounded_is_refused(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=r"is no run, and has no data .*\n  exporter\.gptq\.data=FILE"):
        exported(tiny_llama, tiny_bpe, tmp_path / "out", data=None)
    with pytest.raises(TunesmithError, match=r"exporter\.gptq\.data=none\.json cannot be read"):
        exported(tiny_llama, tiny_bpe, tmp_path / "out", data="none.json")
    assert not list(tmp_path.iterdir())


def test_what_the_plan_says() -> None:
    found = Gptq(group_size=12, max_shard_size="0.0GB").check(StubPlan({"exporter": {"gptq": Gptq()}}, "export"))
    assert [problem.key for problem in found] == ["exporter.gptq.group_size", "exporter.gptq.max_shard_size"]
