"""Folders in torchao's numbers: rounded as the formula says, loaded by transformers, judged beside the base."""

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from transformers.quantizers import quantizer_torchao
from tunesmith_exporter_torchao import Torchao, writing
from tunesmith_library_testing import ExporterSuite, damage
from tunesmith_library_testing.parts import CHATML, StubPlan, handle_of, load_plain
from tunesmith_library_testing.suites.plugin import PluginSuite


class TestTorchao(PluginSuite):
    kind = "exporter"
    plugin = Torchao


def test_check() -> None:
    exporter = Torchao()
    plugins: dict[str, Any] = {"exporter": {"torchao": exporter}, "quantizer": {"hqq": None}}
    assert [problem.key for problem in exporter.check(StubPlan(plugins, "export"))] == ["quantizer"]


def other_norms(folder: Path) -> None:
    """The last norm is turned round; what torchao says of its tensors stays."""
    with safe_open(folder / "model.safetensors", "pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        metadata = file.metadata()
    weights["model.norm.weight"] = weights["model.norm.weight"] * -40
    save_file(weights, folder / "model.safetensors", metadata)


@pytest.mark.slow
class TestTorchaoFolder(ExporterSuite):
    plugin = Torchao
    for_transformers: ClassVar[bool] = False  # it is, with torchao; the suite's loader puts it into float32
    damages: ClassVar[dict[str, damage.Damage]] = {
        "a tensor": damage.Damage(other_norms, r"KL divergence is|perplexity grows"),
        "a special token": damage.Damage(
            damage.other_values("tokenizer_config.json", eos_token="<pad>"), r"eos_token is '<pad>'"
        ),
        "a character of the template": damage.Damage(
            damage.other_text("chat_template.jinja", "assistant\\n", "assistant\\t"), r"template writes"
        ),
    }

    def damaged(self, happen: damage.Break) -> Any:
        return damage.written_by(writing, "quantise", happen, lambda source, folder, *how: folder)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["int8_weight_only", "float8_weight_only"])
def test_weights_are_rounded_by_the_formula(
    scheme: str, tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """w ≈ s round(w / s), s the largest of a row over 127; float8 has 3 bits of mantissa, an error of 1/16 at most.

    Also where transformers was imported with torchao out of sight, as a run imports it.
    """
    monkeypatch.delattr(quantizer_torchao, "flatten_tensor_state_dict")
    handle = handle_of(tiny_llama, tiny_bpe, template=CHATML.bind(tiny_bpe))
    with handle.shared:
        written = Torchao(scheme=scheme).export(handle, tmp_path / "out")
    found = AutoModelForCausalLM.from_pretrained(written).model.layers[0].mlp.up_proj.weight.dequantize().float()
    weight = load_plain(tiny_llama).model.layers[0].mlp.up_proj.weight.data
    if scheme == "int8_weight_only":
        scale = weight.abs().amax(1, keepdim=True) / 127
        assert ((found - weight).abs() <= 0.51 * scale).all()
    else:
        assert ((found - weight).abs() <= weight.abs() / 15 + 1e-4).all()
    assert not torch.equal(found, weight)
    report = json.loads((written / "export_report.json").read_text())
    assert 0 < report["figures"]["divergence"] < 0.01 and "torchao" in report["program"]
