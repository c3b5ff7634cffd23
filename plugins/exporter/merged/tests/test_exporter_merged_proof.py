"""What is broken on the way to the disk is caught, with the name of what differs, and nothing of it is kept."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tunesmith import TunesmithError
from tunesmith_exporter_merged import Merged
from tunesmith_library_proving import merging
from tunesmith_library_testing.parts import CHATML, handle_of
from tunesmith_library_testing.tiny import save_published_model

Breaking = Callable[[Path], None]


@pytest.fixture(scope="module")
def handle(tmp_path_factory: pytest.TempPathFactory, tiny_bpe):
    """A trained model of text on a base with a vision tower and a head that predicts several tokens."""
    base = save_published_model(tmp_path_factory.mktemp("base") / "base", "vision_hybrid", tokenizer=tiny_bpe)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)

    def load():
        model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype="float32")
        for name, weight in model.named_parameters():
            if "q_proj" in name:
                weight.data *= 1.25
        return model

    return handle_of(base, tokenizer, template=CHATML.bind(tokenizer), load=load)


def of_weights(name: str, change: Callable[[dict[str, torch.Tensor], str], None]) -> Breaking:
    """Change what is in the file of the first tensor whose name has this in it."""

    def break_(folder: Path) -> None:
        (file,) = folder.glob("*.safetensors")
        weights = load_file(file)
        change(weights, next(found for found in weights if name in found))
        save_file(weights, file, {"format": "pt"})

    return break_


def flip(weights: dict[str, torch.Tensor], name: str) -> None:
    flat = weights[name].view(-1)
    flat[len(flat) // 2] += 0.25


def rename(weights: dict[str, torch.Tensor], name: str) -> None:
    weights[f"model.{name}"] = weights.pop(name)


def of_json(file: str, **values: object) -> Breaking:
    def break_(folder: Path) -> None:
        said = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**said, **values}))

    return break_


def of_text(file: str, old: str, new: str) -> Breaking:
    def break_(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))

    return break_


def dropped(file: str) -> Breaking:
    return lambda folder: (folder / file).unlink()


BROKEN: dict[str, tuple[Breaking, str]] = {
    "a trained tensor": (of_weights("q_proj", flip), r"1 tensors have values.*self_attn\.q_proj\.weight"),
    "a tensor that was never loaded": (of_weights("mtp.fc", flip), r"1 tensors have values.*mtp\.fc\.weight"),
    "a tensor of the tower": (of_weights("visual", flip), r"1 tensors have values.*model\.visual\."),
    "a lost tensor": (of_weights("mtp.fc", dict.pop), r"1 tensors of the base are missing.*mtp\.fc\.weight"),
    "a renamed tensor": (of_weights("mtp.fc", rename), r"another name.*mtp\.fc\.weight \(now model\.mtp"),
    "the class": (of_json("config.json", architectures=["Qwen3_5ForCausalLM"]), r"class.*'Qwen3_5ForCausalLM'"),
    "the configuration": (
        of_text("config.json", '"rms_norm_eps": 1e-06', '"rms_norm_eps": 0.1'),
        "rms_norm_eps=0.1",
    ),
    "a character of the template": (of_text("chat_template.jinja", "assistant\\n", "assistant\\t"), r"template writes"),
    "a special token": (of_json("tokenizer_config.json", eos_token="<pad>"), r"eos_token is '<pad>', and '</s>'"),
    "another token": (of_text("tokenizer.json", '"<|im_end|>"', '"<|im_ned|>"'), r"token '<\|im_ned\|>' has"),
    "a rare token": (of_text("tokenizer.json", '"!": ', '"!!!": '), r"tokenizer's model is another"),
    "what ends an answer": (of_json("generation_config.json", eos_token_id=1), r"'<\|im_end\|>' \(token 4\) ends no"),
    "a file": (dropped("preprocessor_config.json"), r"preprocessor_config\.json is missing"),
    "the generation's file": (dropped("generation_config.json"), r"generation_config\.json is missing"),
}


def refused(handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """What is broken in these ways is refused with all of them named, and nothing is left."""
    save_whole = merging.save_whole

    def broken(*given, **options):
        result = save_whole(*given, **options)
        for name in names:
            BROKEN[name][0](given[4])
        return result

    monkeypatch.setattr(merging, "save_whole", broken)
    with pytest.raises(TunesmithError, match=r"(?s)is not the model that was.*nothing of it is kept") as error:
        Merged().export(handle, tmp_path / "out")
    assert not list(tmp_path.iterdir())
    for name in names:
        assert re.search(BROKEN[name][1], str(error.value)), name


def test_all_that_differs_is_named_at_once(handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("a tensor of the tower", "a character of the template", "a special token", "a file", "what ends an answer")
    refused(handle, tmp_path, monkeypatch, *names)


@pytest.mark.slow
@pytest.mark.parametrize("what", BROKEN)
def test_what_differs_is_named(handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    refused(handle, tmp_path, monkeypatch, what)


def test_the_report_of_a_sound_export(handle, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "tunesmith"):
        written = Merged().export(handle, tmp_path / "out")
    report = json.loads((written / "export_report.json").read_text())
    assert report["program"] == f"transformers {transformers.__version__}"
    held = sum(len(load_file(file)) for file in written.glob("*.safetensors"))
    assert report["tensors"] == {"held": held, "changed": 1, "copied": held - 1}
    assert report["class"]["name"] == "Qwen3_5ForConditionalGeneration"
    assert report["figures"]["largest"] > 0 and report["figures"]["same_choice"] > 0.9, "the export is rounded once"
    assert report["compared_on"]["origin"].startswith("our own") and report["compared_on"]["tokens"] > 60
    assert len(re.findall("proven: transformers", caplog.text)) == 1


def test_unproven_is_said(handle, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written = Merged(verify=False).export(handle, tmp_path / "out")
    assert "not proven, exporter.verify=false" in caplog.text and not (written / "export_report.json").exists()


@pytest.mark.slow
def test_rounding_is_measured_beside_the_bases(handle, tmp_path: Path) -> None:
    """A base in float32 that is rounded to bfloat16 drifts itself, by what is computed here without the gate."""
    base = handle.source.path
    wide = tmp_path / "wide"
    transformers.AutoModelForCausalLM.from_pretrained(base, dtype="float32").save_pretrained(wide)
    handle.processor.save_pretrained(wide)
    model = transformers.AutoModelForCausalLM.from_pretrained(wide, dtype="float32").eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += torch.randn_like(weight) * 0.01
    model.save_pretrained(wide)
    text = handle.template.render([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]).text
    ids = torch.tensor([handle.processor.encode(text)])
    rounded = transformers.AutoModelForCausalLM.from_pretrained(wide, dtype="bfloat16").float().eval()
    plain = handle_of(wide, handle.processor, template=handle.template)
    report = json.loads((Merged(dtype="bfloat16").export(plain, tmp_path / "out") / "export_report.json").read_text())
    with torch.no_grad():
        one, other = (each(input_ids=ids, use_cache=False).logits[0].log_softmax(-1) for each in (model, rounded))
    expected = float((one.exp() * (one - other)).sum(-1).mean())
    assert report["base_in_this_format"]["divergence"] == report["figures"]["divergence"] > 0
    assert 0.2 < report["figures"]["divergence"] / expected < 5
