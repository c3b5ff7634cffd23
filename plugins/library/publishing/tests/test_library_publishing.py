"""A base that is loaded and written again: every tensor, the class, the configuration and the files are still there."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    Qwen3_5ForConditionalGeneration,
)
from tunesmith import TunesmithError
from tunesmith_library_publishing import adapters
from tunesmith_library_publishing.files import keep_files
from tunesmith_library_publishing.inventory import Numbers, numbers_of, tensors_of
from tunesmith_library_publishing.naming import head_names, names_of
from tunesmith_library_publishing.weights import published_tensors, round_like, write
from tunesmith_library_publishing.whole import Result, base_of, save_whole
from tunesmith_library_testing.parts import CHATML
from tunesmith_library_testing.tiny import save_published_model

TOKENS = torch.tensor([[7, 11, 13, 17, 19, 23]])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_bpe):
    """The folder of a layout, made once."""
    folders: dict[str, Path] = {}

    def make(layout: str) -> Path:
        if layout not in folders:
            folders[layout] = save_published_model(tmp_path_factory.mktemp("made") / layout, layout, tokenizer=tiny_bpe)
        return folders[layout]

    return make


def held(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def loaded(folder: Path, dtype: str = "bfloat16"):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def save(model, folder: Path, **options) -> Result:
    folder.mkdir()
    base = base_of(model)
    assert base is not None
    tokenizer = AutoTokenizer.from_pretrained(base)
    return save_whole(model, tokenizer, CHATML.bind(tokenizer), base, folder, **options)


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=TOKENS, use_cache=False).logits.float()


@pytest.mark.parametrize("layout", ["vision_hybrid", "moe", "dense_tied"])
@pytest.mark.parametrize("numbers", ["as trained", "the base's"])
def test_what_was_not_changed_is_bit_for_bit_the_base(made, tmp_path: Path, layout: str, numbers: str) -> None:
    """One weight is changed; each other tensor has the base's bytes, though all were loaded in other numbers."""
    base, model = made(layout), loaded(made(layout), "float32")
    name, weight = next((name, weight) for name, weight in model.named_parameters() if "q_proj" in name)
    weight.data += 1
    result = save(model, tmp_path / "out", numbers=numbers_of(base) if numbers == "the base's" else None)
    before, after = held(base), held(tmp_path / "out")
    assert after.keys() == before.keys()
    changed = [
        key for key in before if after[key].dtype != before[key].dtype or not torch.equal(after[key], before[key])
    ]
    assert len(changed) == 1 and changed[0].endswith(name.split("model.")[-1])
    expected = before[changed[0]].float() + 1
    rounded = expected.bfloat16() if numbers == "the base's" else expected
    assert torch.equal(after[changed[0]], rounded) and after[changed[0]].dtype == rounded.dtype
    assert result.tensors.changed == tuple(changed)
    assert len(result.tensors.same) + len(result.tensors.unloaded) == len(before) - 1
    assert result.files.kept[:3] == ("LICENSE", "NOTICE.txt", "README.md")


def test_the_published_class_loads_what_the_text_class_trained(made, tmp_path: Path) -> None:
    base, model = made("vision_hybrid"), loaded(made("vision_hybrid"), "float32")
    for weight in model.parameters():
        weight.data *= 1.25
    result = save(model, tmp_path / "out")
    assert result.class_name == "Qwen3_5ForConditionalGeneration"
    assert {name.split(".")[0] for name in result.tensors.unloaded} == {"mtp", "model"}
    assert "model.visual (21), mtp (2)" in result.tensors.described()
    whole = Qwen3_5ForConditionalGeneration.from_pretrained(tmp_path / "out", dtype=torch.float32)
    assert torch.equal(logits(whole), logits(model))
    before = Qwen3_5ForConditionalGeneration.from_pretrained(base, dtype=torch.float32).model.visual.state_dict()
    assert all(torch.equal(weight, before[name]) for name, weight in whole.model.visual.state_dict().items())
    assert (tmp_path / "out/preprocessor_config.json").read_bytes() == (base / "preprocessor_config.json").read_bytes()
    assert json.loads((base / "config.json").read_text()) | {"dtype": "float32"} == {
        **json.loads((tmp_path / "out/config.json").read_text()),
        "text_config": json.loads((base / "config.json").read_text())["text_config"],
    }


def test_sizes_and_unknown_fields(made, tmp_path: Path) -> None:
    """More tokens, and a field that transformers does not know, stand where the published configuration has them."""
    base = shutil.copytree(made("vision_hybrid"), tmp_path / "base")
    said = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**said, "of_the_publisher": {"x": [1]}}))
    model = loaded(base)
    model.resize_token_embeddings(400, mean_resizing=False)
    result = save(model, tmp_path / "out", max_shard_size="100KB")
    written = json.loads((tmp_path / "out/config.json").read_text())
    assert written["of_the_publisher"] == {"x": [1]} and written["text_config"]["vocab_size"] == 400
    assert written["vision_config"] == said["vision_config"] and written["architectures"] == said["architectures"]
    assert {name.rpartition(".")[0] for name in result.tensors.changed} == {
        "lm_head",
        "model.language_model.embed_tokens",
    }
    assert len(list((tmp_path / "out").glob("model-*.safetensors"))) > 1
    assert torch.equal(logits(Qwen3_5ForConditionalGeneration.from_pretrained(tmp_path / "out")), logits(model))


def test_a_tied_head_that_the_base_writes_twice_is_written_twice(made, tmp_path: Path) -> None:
    base = shutil.copytree(made("dense_tied"), tmp_path / "base")
    weights = held(base)
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    model = loaded(base)
    model.model.embed_tokens.weight.data += 1
    save(model, tmp_path / "out")
    after = held(tmp_path / "out")
    assert after.keys() == weights.keys()
    assert torch.equal(after["lm_head.weight"], weights["model.embed_tokens.weight"] + 1)
    assert torch.equal(after["lm_head.weight"], after["model.embed_tokens.weight"])


def test_endings_of_a_whole_result(made, tiny_bpe, tmp_path: Path) -> None:
    save(loaded(made("dense")), tmp_path / "out")
    ends = GenerationConfig.from_pretrained(tmp_path / "out").eos_token_id
    assert ends == [tiny_bpe.eos_token_id, tiny_bpe.convert_tokens_to_ids("<|im_end|>")]
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template == CHATML.bind(tiny_bpe).exported


def test_a_classifier_gives_up_the_output_layer_alone(made, tiny_bpe, tmp_path: Path) -> None:
    stage = pytest.importorskip("tunesmith_stage_reward.classifier")
    base = made("vision_hybrid")
    assert list(head_names(base)) == ["lm_head.weight"]
    classifier = stage.to_classifier(loaded(base), tiny_bpe)
    result = save(classifier, tmp_path / "out")
    assert result.tensors.replaced == ("lm_head.weight",) and result.tensors.new == ("score.weight",)
    assert held(tmp_path / "out").keys() == held(base).keys() - {"lm_head.weight"} | {"score.weight"}
    from transformers import AutoModelForSequenceClassification

    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    assert type(again).__name__ == result.class_name == "Qwen3_5ForSequenceClassification"
    with torch.no_grad():
        assert torch.equal(again(input_ids=TOKENS).logits, classifier.eval()(input_ids=TOKENS).logits)


def test_numbers_of_a_run_are_those_of_its_base(made, tmp_path: Path) -> None:
    base = made("vision_hybrid")
    model = loaded(base, "float32")
    for weight in model.parameters():
        weight.data *= 1.5
    save(model, tmp_path / "run")
    numbers = numbers_of(tmp_path / "run")
    assert numbers == numbers_of(base) and numbers.common == "bfloat16"
    assert tensors_of(tmp_path / "run")["lm_head.weight"].dtype == "F32"
    state = [name for name in held(base) if name.endswith("A_log")]
    assert [numbers.of(name) for name in (*state, "lm_head.weight", "unknown")] == [
        torch.float32,
        torch.bfloat16,
        torch.bfloat16,
    ]


def test_weights_are_rounded_as_their_tensors_will_be(made) -> None:
    base = made("moe")
    model = loaded(base, "float32")
    for weight in model.parameters():
        weight.data += torch.rand_like(weight) * 1e-3
    exact = {name: weight.clone() for name, weight in model.state_dict().items()}
    expert = "model.layers.0.mlp.experts.0.down_proj.weight"
    assert round_like(model, base, Numbers("bfloat16", {**numbers_of(base).tensors, expert: "F32"})) == []
    after = model.state_dict()
    assert torch.equal(after["lm_head.weight"], exact["lm_head.weight"].bfloat16().float())
    for layer, whole in (("0", True), ("1", False)):  # experts make up one weight, which is as precise as the best
        name = f"model.layers.{layer}.mlp.experts.down_proj"
        assert torch.equal(after[name], exact[name]) == whole
    model.lm_head.weight.data[0] = 1e6
    assert round_like(model, base, Numbers("float16", {})) == ["lm_head.weight"]


# ---- adapters ------------------------------------------------------------------------------------------------------


def adapted(base: Path):
    """A LoRA on the text part, as trained: matrices that are not zero."""
    model = loaded(base, "float32")
    targets = ["q_proj", "down_proj", "in_proj_qkv"]
    pattern = {"model.layers.1.mlp.down_proj": 2}
    config = LoraConfig(r=4, target_modules=targets, rank_pattern=pattern, modules_to_save=["lm_head"])
    model = get_peft_model(model, config)
    torch.manual_seed(0)
    for weight in model.parameters():
        weight.data += 0.2 * torch.randn_like(weight) if weight.requires_grad else 0
    return model


def usual_mode(folder: Path) -> set[int]:
    """Of a file that this process makes."""
    (folder / "usual").write_text("")
    return {(folder / "usual").stat().st_mode}


def modes_in(folder: Path) -> set[int]:
    return {file.stat().st_mode for file in folder.iterdir()}


def test_weights_are_read_by_whoever_reads_the_other_files(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write({"a": torch.ones(300), "b": torch.ones(300)}, tmp_path / "out", "1KB")
    assert len(list((tmp_path / "out").glob("*.safetensors"))) == 2
    assert modes_in(tmp_path / "out") == usual_mode(tmp_path)


def test_an_adapter_is_read_by_the_published_class(made, tmp_path: Path) -> None:
    base = made("vision_hybrid")
    model = adapted(base)
    model.save_pretrained(tmp_path / "adapter")
    adapters.publish(model, tmp_path / "adapter")
    assert modes_in(tmp_path / "adapter") == usual_mode(tmp_path)
    keys = load_file(tmp_path / "adapter/adapter_model.safetensors").keys()
    assert "base_model.model.model.language_model.layers.1.self_attn.q_proj.lora_A.weight" in keys
    assert "base_model.model.lm_head.weight" in keys
    said = json.loads((tmp_path / "adapter/adapter_config.json").read_text())
    assert said["rank_pattern"] == {"model.language_model.layers.1.mlp.down_proj": 2}
    whole = Qwen3_5ForConditionalGeneration.from_pretrained(base, dtype=torch.float32)
    whole = PeftModel.from_pretrained(whole, str(tmp_path / "adapter"))
    torch.testing.assert_close(logits(whole), logits(model), atol=1e-5, rtol=0)
    assert (logits(model) - logits(loaded(base, "float32"))).abs().max() > 0.1


@pytest.mark.parametrize("names", ["published", "loaded"])
def test_both_namings_are_read_by_the_loaded_class(made, tmp_path: Path, names: str) -> None:
    adapting = pytest.importorskip("tunesmith_library_adapting.adapters")
    from tunesmith_library_testing.parts import source_of

    base = made("vision_hybrid")
    model = adapted(base)
    model.save_pretrained(tmp_path)
    if names == "published":
        adapters.publish(model, tmp_path)
    again = adapting.load(loaded(base, "float32"), tmp_path, source_of(base, training=False))
    torch.testing.assert_close(logits(again), logits(model), atol=1e-5, rtol=0)


def test_short_targets_that_would_fit_other_parts_are_written_whole(made, tmp_path: Path) -> None:
    """`proj` is in the vision tower, too: of the published class only the adapted module may be named."""
    base = made("vision_hybrid")
    model = loaded(base)
    names = names_of(model, base)
    assert names is not None and "model.visual.blocks.0.attn.proj" in names.modules
    keys = ["base_model.model.model.language_model.layers.1.self_attn.q_proj.lora_A.weight"]
    assert adapters._targets(["q_proj"], keys, names) == ["q_proj"]
    both = dataclasses.replace(names, modules=frozenset({*names.modules, "model.visual.blocks.0.attn.q_proj"}))
    assert adapters._targets(["q_proj"], keys, both) == ["model.language_model.layers.1.self_attn.q_proj"]


# ---- files and faults ------------------------------------------------------------------------------------------------


def test_files_beside_the_weights(made, tiny_bpe, tmp_path: Path) -> None:
    base, out = shutil.copytree(made("dense"), tmp_path / "base"), tmp_path / "out"
    (base / "original").mkdir()
    for name in ("modeling_own.py", "vocab.json", ".gitattributes", "pytorch_model.bin", "model.gguf"):
        (base / name).write_text("{}")
    (base / "chat_template.json").write_text('{"chat_template": "old"}')
    out.mkdir()
    tiny_bpe.save_pretrained(out)
    (out / "chat_template.jinja").write_text("trained")
    files = keep_files(base, out)
    assert files.left == ("original/",)
    assert set(files.kept) == {"LICENSE", "NOTICE.txt", "README.md", "modeling_own.py", "tokenizer.json", "vocab.json"}
    assert json.loads((out / "chat_template.json").read_text()) == {"chat_template": "trained"}
    assert {entry.name for entry in out.iterdir()} == {
        *(*files.kept, "chat_template.json", "chat_template.jinja", "tokenizer_config.json"),
    }


def test_vocabularies_of_a_tokenizer_with_further_tokens_are_left_out(made, tmp_path: Path) -> None:
    base, out = shutil.copytree(made("dense"), tmp_path / "base"), tmp_path / "out"
    (base / "added_tokens.json").write_text("{}")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens([AddedToken("<|new|>")])
    tokenizer.save_pretrained(out)
    assert keep_files(base, out).left == ("added_tokens.json",)
    assert AutoTokenizer.from_pretrained(out).convert_tokens_to_ids("<|new|>") == len(tokenizer) - 1


def test_a_run_hands_on_the_files_of_its_base_and_none_of_its_own(made, tmp_path: Path) -> None:
    result = save(loaded(made("dense")), tmp_path / "run")
    for name in ("run.yaml", "plugins.lock", "metrics.jsonl", "loss.png"):
        (tmp_path / "run" / name).write_text("x")
    again = save(loaded(tmp_path / "run"), tmp_path / "export", numbers=numbers_of(tmp_path / "run"))
    assert again.files == result.files
    assert not {"run.yaml", "metrics.jsonl", "loss.png", "base_weights.json"} & {
        entry.name for entry in (tmp_path / "export").iterdir()
    }


def test_a_checkpoint_hands_on_its_model_and_nothing_of_its_training(made, tmp_path: Path) -> None:
    base = shutil.copytree(made("dense"), tmp_path / "checkpoint-2")
    (base / "LICENSE").write_text("free")
    save(loaded(base), tmp_path / "before")
    before = {entry.name for entry in (tmp_path / "before").iterdir()}
    for name in ("complete.json", "configuration.yaml", "trainer_state.json"):
        (base / name).write_text("{}")
    (base / "training_state").mkdir()
    result = save(loaded(base), tmp_path / "export")
    assert {entry.name for entry in (tmp_path / "export").iterdir()} == before and "LICENSE" in before
    assert "left out" not in result.files.described()


def test_an_index_that_names_what_is_not_there(made, tmp_path: Path) -> None:
    folder = shutil.copytree(made("vision_hybrid"), tmp_path / "base")
    file = folder / "model.safetensors.index.json"
    index = json.loads(file.read_text())
    index["weight_map"]["mtp.lost.weight"] = "model-00001-of-00002.safetensors"
    file.write_text(json.dumps(index))
    with pytest.raises(TunesmithError, match=r"1 tensors that its files do not hold, such as mtp\.lost"):
        tensors_of(folder)


def test_a_buffer_that_the_base_lacks_is_not_written(made) -> None:
    model = loaded(made("dense"))
    model.model.register_buffer("counted", torch.ones(2))
    assert "model.counted" not in published_tensors(model, made("dense"), tensors_of(made("dense")))
    assert "model.counted" in published_tensors(model, made("dense"), {*tensors_of(made("dense")), "model.counted"})


def test_few_bits_that_the_model_holds_in_full_are_replaced(made, tmp_path: Path) -> None:
    """With their scales, the configuration and the file that speak of them; other few bits cannot stand beside them."""
    base, layer = Path(shutil.copytree(made("dense"), tmp_path / "base")), "model.layers.0.self_attn.q_proj"
    weights = load_file(base / "model.safetensors")
    weights |= {f"{layer}.weight": torch.zeros(9, 1, dtype=torch.uint8), f"{layer}.weight.absmax": torch.ones(4)}
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    (base / "quantize_config.json").write_text("{}")
    said = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**said, "quantization_config": {"quant_method": "mine"}}))
    model, tokenizer = loaded(made("dense")), AutoTokenizer.from_pretrained(base)
    model.dequantised = (layer,)
    (tmp_path / "out").mkdir()
    result = save_whole(model, tokenizer, None, base, tmp_path / "out", numbers=Numbers("bfloat16", {}))
    written = held(tmp_path / "out")
    assert written.keys() == held(made("dense")).keys() and torch.equal(
        written[f"{layer}.weight"], model.get_submodule(layer).weight
    )
    assert result.tensors.replaced == (f"{layer}.weight.absmax",)
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == said
    assert "quantize_config.json" in result.files.left and not (tmp_path / "out" / "quantize_config.json").exists()
    save_file(weights | {"visual.proj.weight": torch.zeros(9, 1, dtype=torch.uint8)}, base / "model.safetensors")
    with pytest.raises(TunesmithError, match=r"1 tensors in few bits that this run never loaded, such as visual\.proj"):
        save_whole(model, tokenizer, None, base, tmp_path / "out", numbers=Numbers("bfloat16", {}))


def test_random_weights_have_no_base(made) -> None:
    config = AutoConfig.from_pretrained(made("dense"))
    config.name_or_path = ""
    assert base_of(AutoModelForCausalLM.from_config(config)) is None
    assert base_of(torch.nn.Linear(2, 2)) is None
