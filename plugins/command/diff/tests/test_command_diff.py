"""Models with known changes: each is found under its name and with its size, and nothing else is."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tunesmith import TunesmithError
from tunesmith.cli.tables import cells
from tunesmith_command_diff import Diff
from tunesmith_command_diff.comparing import compared
from tunesmith_command_diff.showing import shown
from tunesmith_library_testing import CommandSuite


class TestDiff(CommandSuite):
    plugin = Diff


def diff(*words: Any) -> Result:
    return CliRunner().invoke(Diff().command(), [str(word) for word in words])


def parts_of(*words: Any) -> dict[str, Any]:
    result = diff(*words, "--json")
    assert result.exit_code == 1, result.output
    found: dict[str, Any] = json.loads(result.stdout)["parts"]
    return found


@pytest.fixture
def two(tiny_llama: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A model and a copy of it."""
    for package in ("model_transformers", "hub_local", "template_auto", "template_chatml"):
        pytest.importorskip(f"tunesmith_{package}")
    return tiny_llama, Path(shutil.copytree(tiny_llama, tmp_path / "other"))


def reweighted(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    save_file({name: each.contiguous() for name, each in change(load_file(file)).items()}, file, {"format": "pt"})


def rewritten(file: Path, **change: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | change, indent=2))


def test_equal_folders_are_said_to_be(two: tuple[Path, Path]) -> None:
    result = diff(*two)
    assert result.exit_code == 0 and "bit for bit" in result.output and result.output.rstrip().endswith("equal")


def test_in_chinese(two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the report stays English but names, and its lines are no wider than in English."""
    monkeypatch.setenv("TUNESMITH_LANG", "zh")
    rewritten(two[1] / "config.json", rms_norm_eps=0.25)
    reweighted(two[1], lambda weights: {name: weight[:-1] for name, weight in weights.items()})
    lines = diff(*two, "--no-outputs").output.splitlines()
    assert "  rms_norm_eps: 1e-06 → 0.25" in lines and lines[-1] == "不同之处：配置，张量"
    assert any(line.startswith("张量           ") and line.endswith("个逐位相同") for line in lines)
    assert any("在 B 中为" in line for line in lines)
    assert all(cells(line) <= 80 for line in lines)
    text = "\n".join(lines[2:])
    assert not re.search(r"\b(is|are|in|equal|differ|differs|more|has)\b", text), text


def test_a_key_and_a_tensor_by_how_much(two: tuple[Path, Path]) -> None:
    rewritten(two[1] / "config.json", rms_norm_eps=0.25, transformers_version="9")

    def moved(weights: dict[str, Any]) -> dict[str, Any]:
        name = "model.layers.1.mlp.up_proj.weight"
        weights[name][3, 4] = weights[name].abs().max() * 3  # so that the largest number differs by a known amount
        return weights

    from safetensors.torch import load_file

    before = load_file(two[0] / "model.safetensors")["model.layers.1.mlp.up_proj.weight"]
    apart = float(before.abs().max() * 3 - before[3, 4])
    reweighted(two[1], moved)
    said = compared(str(two[0]), str(two[1]), outputs=False)
    text = shown(said)
    assert "rms_norm_eps" in text and "→ 0.25" in text and "they differ: configuration, tensors" in text
    assert max(map(len, text.splitlines())) <= 80
    found = said.as_json()["parts"]
    assert found["tensors"]["tensors"]["differ"] == 1
    (layer,) = found["tensors"]["layers"]
    assert (layer["layer"], layer["tensor"]) == ("model.layers.1", "mlp.up_proj.weight")
    assert layer["largest"] == pytest.approx(apart, rel=1e-6)
    assert layer["relative"] == pytest.approx(apart / float(before.abs().max()), rel=1e-6)
    assert [name for name, part in found.items() if part["equal"] is not True] == ["configuration", "tensors"]


def test_tensors_lost_new_renamed_reshaped_of_other_numbers(two: tuple[Path, Path]) -> None:
    import torch

    def other(weights: dict[str, Any]) -> dict[str, Any]:
        del weights["lm_head.weight"]
        weights["mtp.fc.weight"] = torch.ones(2, 2)
        weights["model.lm.layers.0.mlp.up_proj.weight"] = weights.pop("model.layers.0.mlp.up_proj.weight")
        weights["model.lm.layers.1.mlp.up_proj.weight"] = weights.pop("model.layers.1.mlp.up_proj.weight") + 0.5
        weights["model.norm.weight"] = weights["model.norm.weight"][:-1]
        weights["model.layers.0.input_layernorm.weight"] = weights["model.layers.0.input_layernorm.weight"].bfloat16()
        weights["model.layers.0.self_attn.q_proj.weight"][0, 0] = float("nan")
        return weights

    reweighted(two[1], other)
    found = parts_of(*two, "--no-outputs")["tensors"]
    assert found["only_a"] == ["lm_head.weight"] and found["only_b"] == ["mtp.fc.weight"]
    assert found["renamed"] == {
        f"model.layers.{layer}.mlp.up_proj.weight": f"model.lm.layers.{layer}.mlp.up_proj.weight" for layer in (0, 1)
    }
    assert found["shapes"] == {"model.norm.weight": {"a": [64], "b": [63]}}
    assert found["dtypes"] == {"model.layers.0.input_layernorm.weight": {"a": "F32", "b": "BF16"}}
    sizes = {layer["layer"]: layer["largest"] for layer in found["layers"]}
    assert sizes["model.layers.0"] == "infinite" and sizes["model.layers.1"] == pytest.approx(0.5, rel=1e-5)


def test_words(two: tuple[Path, Path]) -> None:
    """A merge, a flag of a token and a character of the template; the tensors are told equal."""
    file = two[1] / "tokenizer.json"
    said = json.loads(file.read_text())
    said["model"]["merges"] = said["model"]["merges"][:5] + said["model"]["merges"][6:]
    said["added_tokens"][-1]["lstrip"] = True
    file.write_text(json.dumps(said))
    for folder, mark in zip(two, ("", "!"), strict=True):
        template = "{% for m in messages %}<|im_start|>{{ m.role }}MARK\n{{ m.content }}<|im_end|>\n{% endfor %}"
        if folder is two[1]:
            (folder / "chat_template.jinja").write_text(template.replace("MARK", mark))
    found = parts_of(*two, "--no-outputs")
    assert [name for name, part in found.items() if not part["equal"]] == ["tokenizer", "template"]
    told = "\n".join(found["tokenizer"]["differences"])
    assert "the first that differs is number 5" in told and "lstrip is False in A, True in B" in told
    assert found["template"]["renderings_that_differ"] == found["template"]["renderings"] > 0


@pytest.mark.slow
def test_outputs_beside_numbers_of_torch(two: tuple[Path, Path]) -> None:
    """The last norm doubled doubles the logits, which says how far they are apart."""

    def doubled(weights: dict[str, Any]) -> dict[str, Any]:
        return {**weights, "model.norm.weight": weights["model.norm.weight"] * 2}

    reweighted(two[1], doubled)
    found = parts_of(*two)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert [name for name, part in found.items() if not part["equal"]] == ["tensors", "outputs"]
    assert found["outputs"]["same_choice"] == 1 and found["outputs"]["divergence"] > 0
    assert found["outputs"]["origin"].startswith("our own")
    import tunesmith
    from tunesmith_library_proving.texts import texts_of

    texts = texts_of(tunesmith.open_model(str(two[0]))).texts
    model = AutoModelForCausalLM.from_pretrained(two[0])
    assert AutoTokenizer.from_pretrained(two[0])(texts[0].text)["input_ids"] == list(texts[0].ids)
    with torch.no_grad():
        largest = max(float(model(torch.tensor([text.ids[:128]])).logits.abs().max()) for text in texts)
    assert found["outputs"]["largest"] == pytest.approx(largest, rel=1e-2)


def test_shards_and_one_file_are_the_same_tensors(two: tuple[Path, Path]) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(two[1] / "model.safetensors")
    (two[1] / "model.safetensors").unlink()
    names = sorted(weights)
    files = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, part in files.items():
        save_file({name: weights[name] for name in part}, two[1] / file, {"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, part in files.items() for name in part}}
    (two[1] / "model.safetensors.index.json").write_text(json.dumps(index))
    result = diff(*two, "--no-outputs")
    assert result.exit_code == 0 and result.output.rstrip().endswith("equal"), result.output
    (two[1] / "model-2.safetensors").write_bytes(b"cut")
    result = diff(*two)
    assert result.exit_code == 1, result.output
    assert result.output.rstrip().endswith("not compared: tensors, outputs; the other parts are equal")


@pytest.mark.slow
def test_an_adapter_beside_another_and_beside_a_model(two: tuple[Path, Path], tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    pytest.importorskip("tunesmith_adapter_lora")
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(two[0])
    one, other = tmp_path / "one", tmp_path / "two"
    peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"])).save_pretrained(one)
    shutil.copytree(one, other)
    rewritten(one / "adapter_config.json", target_modules=["q_proj", "v_proj"])
    rewritten(other / "adapter_config.json", target_modules=["v_proj", "q_proj"])  # a set, in the order of its hashes
    file = other / "adapter_model.safetensors"
    weights = load_file(file)
    changed = next(name for name in weights if ".0." in name and "lora_B" in name)
    save_file({**weights, changed: weights[changed] + 0.25}, file)
    found = parts_of(one, other)
    assert found["tensors"]["layers"][0]["largest"] == 0.25 and found["configuration"]["equal"]
    assert not found["outputs"]["equal"] and found["outputs"]["largest"] > 0
    result = diff(one, two[0])  # its B is zero: it changes nothing
    assert result.exit_code == 0 and result.output.rstrip().endswith("equal"), result.output


def merged_by_hand(base: Path, adapter: Path, folder: Path) -> None:
    """W + s B A in float64, rounded to bfloat16, written as the base is."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(base, folder)
    config, pairs = (
        json.loads((adapter / "adapter_config.json").read_text()),
        load_file(adapter / "adapter_model.safetensors"),
    )
    weights = {name: weight.double() for name, weight in load_file(base / "model.safetensors").items()}
    for name in (name for name in pairs if ".lora_A." in name):
        product = pairs[name.replace("lora_A", "lora_B")].double() @ pairs[name].double()
        layer = name.removeprefix("base_model.model.").replace(".lora_A", "")
        weights[layer] += config["lora_alpha"] / config["r"] * product
    save_file({n: w.to(torch.bfloat16) for n, w in weights.items()}, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.slow
def test_an_adapter_beside_what_it_was_merged_into(two: tuple[Path, Path], tmp_path: Path) -> None:
    """Rounding alone is no difference; one number that is a little further off is, by its size."""
    import torch

    peft = pytest.importorskip("peft")
    pytest.importorskip("tunesmith_adapter_lora")
    from transformers import AutoModelForCausalLM

    made = peft.get_peft_model(
        AutoModelForCausalLM.from_pretrained(two[0]), peft.LoraConfig(r=2, target_modules=["q_proj"])
    )
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.linspace(-0.3, 0.4, weight.numel()).view_as(weight))
    made.save_pretrained(tmp_path / "adapter")
    merged_by_hand(two[0], tmp_path / "adapter", tmp_path / "merged")
    result = diff(tmp_path / "adapter", tmp_path / "merged", "--json")
    found = json.loads(result.stdout)["parts"]
    assert result.exit_code == 0, found
    assert found["tensors"]["equal"] and found["tensors"]["rounded"]["bfloat16"] > 2
    assert found["outputs"]["summary"] == "equal within rounding to bfloat16" and found["outputs"]["largest"] > 0

    def moved(weights: dict[str, Any]) -> dict[str, Any]:
        changed = weights["model.layers.1.self_attn.q_proj.weight"]
        changed[0, 0] += 2**-5 * changed.abs().max()
        return weights

    reweighted(tmp_path / "merged", moved)
    (layer,) = parts_of(tmp_path / "merged", tmp_path / "adapter", "--no-outputs")["tensors"]["layers"]
    assert (layer["layer"], layer["tensor"]) == ("model.layers.1", "self_attn.q_proj.weight")
    assert layer["relative"] == pytest.approx(2**-5, rel=0.3)


def test_rounding_is_the_nearest_number_of_the_file_and_nothing_beyond() -> None:
    """1 + 2⁻⁹ lies between bfloat16's 1 and 1 + 2⁻⁷, nearer to 1; 1 + 2⁻⁷ is no rounding of it."""
    import torch
    from tunesmith_command_diff.holding import Held
    from tunesmith_command_diff.tensors import tensors

    merged = Held({"w": torch.tensor([1 + 2**-9, 3.0])}, computed=True)
    near, far = (Held({"w": torch.tensor([value, 3.0]).bfloat16()}) for value in (1.0, 1 + 2**-7))
    for pair in ((merged, near), (near, merged)):
        found = tensors("tensors", *pair)
        assert found.equal and found.facts["rounded"] == {"bfloat16": 1} and "within rounding" in found.summary
    found = tensors("tensors", merged, far)
    assert not found.equal and found.facts["layers"][0]["largest"] == 2**-7 - 2**-9
    assert not tensors("tensors", Held(merged.entries), near).equal  # two files of other numbers do differ


def test_packed_numbers_are_not_compared_as_plain_ones(two: tuple[Path, Path]) -> None:
    """Codes that nothing here reads; the same codes on both sides are equal, whatever they stand for."""
    packed = {"quant_method": "strange-codes", "bits": 8}
    rewritten(two[1] / "config.json", quantization_config=packed)
    found = parts_of(*two, "--no-outputs")["tensors"]
    assert found["equal"] is None and "B is packed as strange-codes: compared by outputs only" in found["summary"]
    again = shutil.copytree(two[1], two[1].with_name("again"))
    rewritten(again / "generation_config.json", top_k=7)
    assert parts_of(two[1], again, "--no-outputs")["tensors"]["equal"]


def test_a_damaged_file_is_named(two: tuple[Path, Path]) -> None:
    (two[1] / "config.json").write_text("{cut")
    result = diff(*two, "--no-outputs")
    assert result.exit_code == 1
    text = "".join(result.output.split())
    assert text.count(f"{two[1] / 'config.json'}cannotberead") >= 2, result.output
    assert text.endswith("notcompared:configuration,tokenizer,template;theotherpartsareequal"), result.output
    shutil.copyfile(two[0] / "config.json", two[1] / "config.json")
    (two[1] / "tokenizer.json").unlink()
    text = "".join(diff(*two, "--no-outputs").output.split())
    assert f"{two[1]}hasnotokenizer.json,whichAhas" in text and text.endswith("theotherpartsareequal")


@pytest.mark.slow
def test_classifiers_by_their_scores(two: tuple[Path, Path], tmp_path: Path) -> None:
    """Their heads are those of the files, which nothing else has; a model that writes has nothing to compare."""
    import torch
    import tunesmith
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
    from tunesmith_library_proving.texts import texts_of

    config = AutoConfig.from_pretrained(two[0], num_labels=1)
    one, other = tmp_path / "one", tmp_path / "doubled"
    AutoModelForSequenceClassification.from_config(config).save_pretrained(one)
    AutoTokenizer.from_pretrained(two[0]).save_pretrained(one)
    shutil.copytree(one, other)
    reweighted(other, lambda weights: {**weights, "score.weight": weights["score.weight"] * 2})
    found = parts_of(one, other)
    assert not found["outputs"]["equal"] and "perplexity_before" not in found["outputs"]
    model, doubled = (AutoModelForSequenceClassification.from_pretrained(folder) for folder in (one, other))
    ids = [text.ids[:128] for text in texts_of(tunesmith.open_model(str(two[0]))).texts]
    with torch.no_grad():
        apart = [abs(float(model(torch.tensor([i])).logits - doubled(torch.tensor([i])).logits)) for i in ids]
    assert found["outputs"]["largest"] == pytest.approx(max(apart), rel=1e-2)
    assert parts_of(one, two[0])["outputs"]["equal"] is None


def test_what_is_no_model(tmp_path: Path, tiny_llama: Path) -> None:
    result = diff(tiny_llama, tmp_path)
    assert isinstance(result.exception, TunesmithError) and str(tmp_path) in str(result.exception)
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    for address in (tmp_path / "x.gguf", tmp_path):
        said = str(diff(tiny_llama, address).exception)
        assert "is GGUF" in said and "export_report.json" in said
