"""The merged export: the same function, in the base's numbers, loaded by plain transformers."""

import dataclasses
import json
import logging
import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from tunesmith import TunesmithError
from tunesmith_exporter_merged import Merged
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_proving import merging
from tunesmith_library_publishing.inventory import numbers_of
from tunesmith_library_testing import ExporterSuite
from tunesmith_library_testing.damage import Break, Damage, flipped, other_text, other_values, written_by
from tunesmith_library_testing.parts import CHAT, CHATML, StubPlan, handle_of, load_plain, logits_of
from tunesmith_library_testing.tiny import save_tiny_model


class TestMerged(ExporterSuite):
    plugin = Merged
    damages: ClassVar[dict[str, Damage]] = {
        "a tensor": Damage(flipped("v_proj"), r"1 tensors have values.*v_proj\.weight"),
        "a special token": Damage(
            other_values("tokenizer_config.json", eos_token="<pad>"), r"eos_token is '<pad>', and"
        ),
        "a character of the template": Damage(
            other_text("chat_template.jinja", "assistant\\n", "assistant\\t"), r"the template writes"
        ),
    }

    def damaged(self, happen: Break) -> AbstractContextManager[None]:
        return written_by(merging, "save_whole", happen, lambda *given, **options: given[4])


class Low(torch.nn.Module):
    """An adapter of the test's own: y = W x + B A x beside one linear layer."""

    def __init__(self, base: torch.nn.Linear) -> None:
        super().__init__()
        self.base = base
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.a = torch.nn.Parameter(torch.randn(4, base.in_features) * 0.3)
            self.b = torch.nn.Parameter(torch.randn(base.out_features, 4) * 0.3)

    def forward(self, x):
        return self.base(x) + x @ self.a.T @ self.b.T


def adapted(folder: Path):
    model = load_plain(folder)
    for layer in model.model.layers:
        layer.self_attn.q_proj = Low(layer.self_attn.q_proj)
    return model


def fold(model, error: float = 0.0):
    for layer in model.model.layers:
        low = layer.self_attn.q_proj
        low.base.weight.data += low.b.data @ low.a.data + error
        layer.self_attn.q_proj = low.base
    return model


def handle(folder: Path, tokenizer, merge=fold, template: ChatTemplate = CHATML):
    plain = handle_of(folder, tokenizer, template=template.bind(tokenizer), load=lambda: adapted(folder))
    return dataclasses.replace(plain, adapter=folder, merge=merge)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base as hubs have them: bfloat16, embeddings tied."""
    folder = tmp_path_factory.mktemp("tiny") / "llama"
    return save_tiny_model(folder, architecture="llama", tie_word_embeddings=True, dtype="bfloat16")


def dtypes(folder: Path) -> set:
    return {tensor.dtype for file in folder.glob("*.safetensors") for tensor in load_file(file).values()}


def test_plain_transformers_computes_the_adapted_model(base: Path, tiny_bpe, tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO, "tunesmith")
    written = Merged(dtype="float32").export(handle(base, tiny_bpe), tmp_path / "out")
    expected = logits_of(adapted(base), tiny_bpe)
    assert (expected - logits_of(load_plain(base), tiny_bpe)).abs().max() > 0.05
    torch.testing.assert_close(logits_of(load_plain(written), tiny_bpe), expected, atol=1e-4, rtol=0)
    assert "proven: transformers" in caplog.text
    assert not any(file.suffix == ".bin" for file in written.iterdir())


def test_auto_is_the_dtype_of_the_base_rounded_once(base: Path, tiny_bpe, tmp_path: Path) -> None:
    written = Merged().export(handle(base, tiny_bpe), tmp_path / "out")
    assert dtypes(written) == {torch.bfloat16}
    assert json.loads((written / "config.json").read_text())["dtype"] == "bfloat16"
    loaded, merged = AutoModelForCausalLM.from_pretrained(written), fold(adapted(base))
    assert loaded.dtype == torch.bfloat16
    for name, weight in merged.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight.to(torch.bfloat16)), name


def test_rotary_frequencies_are_not_rounded(base: Path, tiny_bpe, tmp_path: Path) -> None:
    model = load_plain(base)
    exported = dataclasses.replace(handle_of(base, tiny_bpe), load=lambda: model)
    before = model.model.rotary_emb.inv_freq.clone()
    Merged(dtype="bfloat16").export(exported, tmp_path / "out")
    assert torch.equal(model.model.rotary_emb.inv_freq, before) and before.dtype == torch.float32


def test_shards(base: Path, tiny_bpe, tmp_path: Path) -> None:
    written = Merged(max_shard_size="100KB").export(handle(base, tiny_bpe), tmp_path / "out")
    assert len(list(written.glob("model-*.safetensors"))) > 1
    assert (written / "model.safetensors.index.json").is_file()
    AutoModelForCausalLM.from_pretrained(written)


def test_a_wrong_merge_writes_nothing(base: Path, tiny_bpe, tmp_path: Path) -> None:
    wrong = handle(base, tiny_bpe, merge=lambda model: fold(model, error=0.1))
    with pytest.raises(TunesmithError, match=r"(?s)merging changes the model.*nothing was written"):
        Merged().export(wrong, tmp_path / "out")
    assert not list(tmp_path.iterdir())
    assert Merged(verify=False).export(wrong, tmp_path / "out").is_dir()


def test_what_cannot_be_loaded_again_does_not_stay(base: Path, tiny_bpe, tmp_path: Path) -> None:
    """A merge that merged nothing computes the same, but the layers' new names mean nothing to transformers."""
    with pytest.raises(TunesmithError, match="writing changes the model"):
        Merged().export(handle(base, tiny_bpe, merge=lambda model: model), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_head_that_was_trained_apart_is_tied_no_longer(base: Path, tiny_bpe, tmp_path: Path) -> None:
    assert json.loads((base / "config.json").read_text())["tie_word_embeddings"]
    model = load_plain(base)
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.data + 1)
    written = Merged(dtype="float32").export(handle_of(base, tiny_bpe, load=lambda: model), tmp_path / "out")
    assert not json.loads((written / "config.json").read_text())["tie_word_embeddings"]
    loaded = load_plain(written)
    assert torch.equal(loaded.lm_head.weight, loaded.model.embed_tokens.weight + 1)


def test_not_a_number_is_no_small_difference(base: Path, tiny_bpe, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="merging changes the model"):
        Merged().export(handle(base, tiny_bpe, lambda model: fold(model, float("nan"))), tmp_path / "out")


def test_a_weight_that_is_not_finite_is_named(base: Path, tiny_bpe, tmp_path: Path) -> None:
    """Also where the probe does not meet it: in the row of a token that its text has not."""

    def ruin(model):
        merged = fold(model)
        merged.get_input_embeddings().weight.data[-1, 0] = float("inf")
        return merged

    with pytest.raises(
        TunesmithError, match=r"1 tensors of the model hold NaN or infinity: model\.embed_tokens\.weight"
    ):
        Merged(verify=False).export(handle(base, tiny_bpe, merge=ruin), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_float16_overflow_is_named(base: Path, tiny_bpe, tmp_path: Path) -> None:
    model = load_plain(base)
    model.model.norm.weight.data[0] = 1e6
    with pytest.raises(TunesmithError, match=r"(?s)model\.norm\.weight.*65504.*dtype=bfloat16"):
        Merged(dtype="float16").export(handle_of(base, tiny_bpe, load=lambda: model), tmp_path / "out")


def test_few_bits_that_nobody_reads_are_refused(base: Path, tiny_bpe, tmp_path: Path) -> None:
    folder = shutil.copytree(base, tmp_path / "base")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": "mine"}}))
    unread = dataclasses.replace(handle(folder, tiny_bpe), load=lambda: adapted(base))
    with pytest.raises(TunesmithError, match=r"(?s)few bits \(mine\).*quantizer=NAME.*16-bit version"):
        Merged().export(unread, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["base"]


# ---- what ends an answer, and the template -------------------------------------------------------------------------


def test_the_templates_end_ends_answers(base: Path, tiny_bpe, tmp_path: Path) -> None:
    written = Merged().export(handle(base, tiny_bpe), tmp_path / "out")
    ends = GenerationConfig.from_pretrained(written).eos_token_id
    assert ends == [tiny_bpe.eos_token_id, tiny_bpe.convert_tokens_to_ids("<|im_end|>")]


def test_a_generation_config_that_transformers_would_not_save(base: Path, tiny_bpe, tmp_path: Path) -> None:
    model = load_plain(base)
    model.generation_config.top_p = 0.9
    with pytest.raises(ValueError, match="top_p"):
        model.save_pretrained(tmp_path / "plain")
    written = Merged().export(handle_of(base, tiny_bpe, load=lambda: model), tmp_path / "out")
    saved = GenerationConfig.from_pretrained(written)
    assert (saved.top_p, saved.do_sample) == (0.9, True)


TALKATIVE = ChatTemplate(
    name="talkative",
    jinja=(
        "\n{%- macro greet() %}{{ greeting.word }}{% endmacro -%}"
        "{{ bos_token }}{% if polite %}{{ greet() }}{% endif %}" + CHATML.jinja
    ),
    stop=CHATML.stop,
    variables={"polite": True, "greeting": {"word": 'Say "hi"', "times": [1, None]}},
)


@pytest.mark.parametrize("template", [CHATML, TALKATIVE], ids=["chatml", "variables"])
def test_the_exported_tokenizer_renders_what_was_trained(base: Path, tiny_bpe, tmp_path: Path, template) -> None:
    written = Merged().export(handle(base, tiny_bpe, template=template), tmp_path / "out")
    served = AutoTokenizer.from_pretrained(written)
    for prompt in (False, True):
        text = served.apply_chat_template(list(CHAT), tokenize=False, add_generation_prompt=prompt)
        assert text == template.bind(tiny_bpe).render(CHAT, add_generation_prompt=prompt).text
    assert served.chat_template.count("generation") == served.chat_template.count("add_generation_prompt")
    assert all(served.chat_template.count(f"set {name} =") == 1 for name in template.variables)


def test_variables_are_only_defaults(tiny_bpe) -> None:
    template = TALKATIVE.bind(tiny_bpe)
    text = tiny_bpe.apply_chat_template(list(CHAT), tokenize=False, chat_template=template.exported, polite=False)
    assert text == template.render(CHAT, polite=False).text


# ---- options -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"dtype": "bfloat16"}, "bfloat16"),
        ({"torch_dtype": "float16"}, "float16"),
        ({"text_config": {"dtype": "bfloat16"}}, "bfloat16"),
        ({}, "float32"),
    ],
)
def test_base_dtype(tmp_path: Path, config, expected: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert numbers_of(tmp_path).common == expected


def test_base_dtype_from_the_weights(base: Path, tmp_path: Path) -> None:
    shutil.copy(base / "model.safetensors", tmp_path)
    assert numbers_of(tmp_path).common == "bfloat16"


@pytest.mark.parametrize(
    ("options", "quantizer", "keys"),
    [
        ({}, {}, []),
        ({"max_shard_size": "200MB"}, {}, []),
        ({"max_shard_size": "lots"}, {}, ["exporter.merged.max_shard_size"]),
        ({"max_shard_size": "0KB"}, {}, ["exporter.merged.max_shard_size"]),
        ({}, {"hqq": None}, ["quantizer"]),
    ],
)
def test_check(options, quantizer, keys) -> None:
    exporter = Merged(**options)
    problems = exporter.check(StubPlan({"exporter": {"merged": exporter}, "quantizer": quantizer}, "export"))
    assert [problem.key for problem in problems] == keys


# ---- with the plugins that make the handle of a run ----------------------------------------------------------------


def test_a_trained_lora_over_the_transformers_loader(base: Path, tiny_bpe, tmp_path: Path) -> None:
    lora = pytest.importorskip("tunesmith_adapter_lora").Lora(rank=4)
    loader = pytest.importorskip("tunesmith_model_transformers").Transformers(path=str(base))
    from tunesmith_library_testing.parts import collate, examples, source_of, train

    source = source_of(base, training=True)
    model = lora.apply_adapter(loader.load_model(source, tiny_bpe, None), None, source)
    train(model, collate(examples(tiny_bpe)), steps=5)
    model.save_pretrained(tmp_path / "adapter")
    save_file({"weight": torch.ones(1, 64)}, tmp_path / "adapter" / "value_head.safetensors")

    serving = source_of(base, training=False)

    def load():
        return lora.apply_adapter(loader.load_model(serving, tiny_bpe, None), tmp_path / "adapter", serving)

    trained = dataclasses.replace(
        handle_of(base, tiny_bpe, load=load), adapter=tmp_path / "adapter", merge=lora.merge_adapter
    )
    written = Merged(dtype="float32").export(trained, tmp_path / "out")
    expected = logits_of(model, tiny_bpe)
    torch.testing.assert_close(logits_of(load_plain(written), tiny_bpe), expected, atol=1e-4, rtol=0)
    assert "attn" not in (written / "config.json").read_text() and not list(written.glob("adapter*"))
    assert load_file(written / "heads" / "value_head.safetensors").keys() == {"weight"}, "of PPO, not of the model"
    assert [file.name for file in written.glob("*.safetensors")] == ["model.safetensors"]


def test_a_classifier_is_compared_by_its_scores(tiny_llama: Path, tiny_bpe, tmp_path: Path, caplog) -> None:
    """A reward model is written as the classifier it is, and a wrong merge of it is noticed too."""
    from transformers import AutoModelForSequenceClassification

    def load():
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(tiny_llama, num_labels=1)
        model.config.pad_token_id = tiny_bpe.pad_token_id
        return model

    def spoil(model):
        model.score.weight.data.add_(0.1)
        return model

    plain = handle_of(tiny_llama, tiny_bpe, template=CHATML.bind(tiny_bpe), load=load)
    with caplog.at_level(logging.INFO, "tunesmith"):
        folder = Merged().export(handle=plain, output_dir=tmp_path / "out")
    assert "(scores differ by 0 at most; 2 conversations" in caplog.text
    written, ids = AutoModelForSequenceClassification.from_pretrained(folder).eval(), torch.tensor([[5, 6, 7]])
    assert written.config.architectures == ["LlamaForSequenceClassification"]
    torch.testing.assert_close(written(input_ids=ids).logits, load().eval()(input_ids=ids).logits)
    wrong = dataclasses.replace(plain, adapter=tiny_llama, merge=spoil)
    with pytest.raises(TunesmithError, match="merging changes the model"):
        Merged().export(handle=wrong, output_dir=tmp_path / "wrong")
