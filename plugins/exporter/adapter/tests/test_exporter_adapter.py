"""The adapter alone: peft makes the trained model of it, and what differs is named."""

import dataclasses
import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer
from tunesmith import TunesmithError
from tunesmith_exporter_adapter import Adapter, proof, writing
from tunesmith_exporter_adapter.layout import limits_of_servers
from tunesmith_library_publishing.adapters import publish
from tunesmith_library_testing import ExporterSuite
from tunesmith_library_testing.damage import Break, Damage, flipped, lost, other_text, other_values, written_by
from tunesmith_library_testing.parts import CHATML, handle_of, load_plain, logits_of
from tunesmith_library_testing.tiny import save_published_model


def trained(base: Path, folder: Path, tokenizer: Any, load: Any = None, **options: Any) -> Any:
    """A handle of an adapter with weights that do something, as a run leaves it."""
    config = {"r": 4, "target_modules": ["q_proj", "down_proj"], **options}
    model = get_peft_model(load_plain(base), LoraConfig(task_type="CAUSAL_LM", **config))
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                weight += torch.randn_like(weight) * 0.1 if "lora" in name else 0.01
    model.save_pretrained(folder)
    publish(model, folder)
    plain = handle_of(base, tokenizer, template=CHATML.bind(tokenizer), load=load or (lambda: model))
    return dataclasses.replace(plain, adapter=folder)


class TestAdapter(ExporterSuite):
    plugin = Adapter
    for_transformers: ClassVar[bool] = False
    damages: ClassVar[dict[str, Damage]] = {
        "a tensor": Damage(flipped("q_proj.lora_B"), r"logits differ by"),
        "a lost tensor": Damage(lost("q_proj.lora_B"), r"q_proj\.lora_B\.weight is missing"),
        "a special token": Damage(
            other_values("tokenizer_config.json", eos_token="<pad>"), r"eos_token is '<pad>', and"
        ),
        "a character of the template": Damage(
            other_text("chat_template.jinja", "assistant\\n", "assistant\\t"), r"the template writes"
        ),
    }

    def damaged(self, happen: Break) -> AbstractContextManager[None]:
        return written_by(writing, "_write", happen, lambda handle, adapter, folder, base: folder)

    def export(self, folder: Path, tokenizer: Any, output_dir: Path, load: Any = None) -> Path:
        handle = trained(folder, output_dir.parents[1] / "adapter", tokenizer, load)
        return self.manager().hook.export(handle=handle, output_dir=output_dir)


def test_peft_loads_it_over_the_base(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    handle = trained(tiny_llama, tmp_path / "run", tiny_bpe, modules_to_save=["lm_head"])
    save_file({"weight": torch.ones(1, 64)}, tmp_path / "run" / "value_head.safetensors")
    out = Adapter(base="org/tiny").export(handle, tmp_path / "out")
    assert load_file(out / "heads" / "value_head.safetensors").keys() == {"weight"}
    assert [file.name for file in out.glob("*.safetensors")] == ["adapter_model.safetensors"]
    loaded = PeftModel.from_pretrained(load_plain(tiny_llama), str(out))
    expected = logits_of(handle.load(), tiny_bpe)
    torch.testing.assert_close(logits_of(loaded, tiny_bpe), expected, atol=1e-5, rtol=0)
    assert (expected - logits_of(load_plain(tiny_llama), tiny_bpe)).abs().max() > 0.01
    assert json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"] == "org/tiny"
    assert AutoTokenizer.from_pretrained(out).chat_template == CHATML.bind(tiny_bpe).exported
    report = json.loads((out / "export_report.json").read_text())
    assert report["vllm"]["unserved"] == ["modules that are trained whole (lm_head)"]
    assert report["weights"]["held"] == len(load_file(out / "adapter_model.safetensors"))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda name, weight: {name: weight + 0.5}, "logits differ by"),
        (lambda name, weight: {}, r"is missing"),
        (lambda name, weight: {name.replace("q_proj", "query"): weight}, r"2 weights belong to no layer of Llama"),
    ],
    ids=["a tensor", "a lost one", "another name"],
)
def test_what_differs_is_named(
    tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, named: str
) -> None:
    def broken(source: Path, target: Path) -> None:
        weights = load_file(source)
        for name in [name for name in weights if "q_proj.lora_B" in name]:
            weights |= change(name, weights.pop(name))
        save_file(weights, target, {"format": "pt"})

    handle = trained(tiny_llama, tmp_path / "run", tiny_bpe)
    monkeypatch.setattr(writing.shutil, "copyfile", broken)
    with pytest.raises(TunesmithError, match=rf"(?s)is not the model that was trained.*{named}"):
        Adapter().export(handle, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


def test_over_few_bits_it_is_judged_beside_what_they_do_to_the_base(
    tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the base's few bits are its weights with some noise, over which the adapter was trained."""
    monkeypatch.setattr(proof, "_OF_KERNELS", 0.0)  # a random model is sure of nothing, whatever is broken

    def load() -> Any:
        base = load_plain(tiny_llama)
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(2)
            for weight in base.model.layers.parameters():
                weight += torch.randn_like(weight) * 0.01
        return PeftModel.from_pretrained(base, str(tmp_path / "run"))

    handle, exporter = trained(tiny_llama, tmp_path / "run", tiny_bpe, load), Adapter()
    exporter._quantizer = "mine"
    report = json.loads((exporter.export(handle, tmp_path / "out") / "export_report.json").read_text())
    assert 0 < report["base_in_this_format"]["divergence"] < 0.01 > report["figures"]["divergence"] > 0
    broken = written_by(writing, "_write", flipped("down_proj.lora_B", by=3000.0), lambda *given: given[2])
    with broken, pytest.raises(TunesmithError, match=r"the KL divergence is"):
        exporter.export(handle, tmp_path / "broken")


def test_a_whole_model_has_no_adapter(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=r"trained no adapter.*\n.*exporter=merged writes the model"):
        Adapter().export(handle_of(tiny_llama, tiny_bpe), tmp_path / "out")


@pytest.mark.slow
def test_the_names_are_those_of_the_published_class(tiny_bpe: Any, tmp_path: Path) -> None:
    """Trained on the text part of a model that reads images, loaded over all of it, as vLLM has it."""
    base = save_published_model(tmp_path / "base", "vision_hybrid", tokenizer=tiny_bpe)
    handle = trained(base, tmp_path / "run", AutoTokenizer.from_pretrained(base))
    out = Adapter().export(handle, tmp_path / "out")
    report = json.loads((out / "export_report.json").read_text())
    assert report["layers"] == {"published": "Qwen3_5ForConditionalGeneration", "equal": True}
    assert all("language_model.layers" in name for name in load_file(out / "adapter_model.safetensors"))


def test_what_vllm_does_not_serve() -> None:
    assert limits_of_servers({"peft_type": "LORA", "bias": "none", "target_modules": ["q_proj"]}) == []
    said = limits_of_servers({"peft_type": "OFT", "use_dora": True, "bias": "all", "target_parameters": ["experts"]})
    assert said == ["adapters of type OFT", "DoRA", "trained biases", "adapters of fused experts"]
