"""The unsloth loader: what it refuses, and the calls that unsloth gets; a stand-in on a CPU, unsloth on a GPU."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, PeftModelForCausalLM
from tunesmith import TunesmithError
from tunesmith.traits import AdapterTraits, PatchTraits, QuantizerTraits
from tunesmith.validate import structured
from tunesmith_library_adapting.adapters import adapt as put_adapter
from tunesmith_library_adapting.adapters import load as load_adapter
from tunesmith_library_adapting.adapters import ready_to_train
from tunesmith_library_testing import ModelSuite
from tunesmith_library_testing.parts import StubPlan, collate, examples, load_plain, logits_of, source_of, train
from tunesmith_model_unsloth import Unsloth, loading
from tunesmith_model_unsloth.loading import import_unsloth, serve_rows

NEEDS_UNSLOTH = (
    "test_resolves_precision",
    "test_loads_the_weights",
    "test_logits_of_chosen_positions",
    "test_missing_files",
)


class TestUnsloth(ModelSuite):
    plugin = Unsloth
    tolerance = 0.05  # unsloth's kernels compute in the GPU's numbers
    deviations = {"test_sequences_are_isolated": "unsloth takes padded batches only, and a concatenated one is refused"}

    @pytest.fixture(autouse=True)
    def _where_unsloth_runs(self, request: pytest.FixtureRequest) -> None:
        if request.node.originalname in NEEDS_UNSLOTH:
            if not torch.cuda.is_available():
                pytest.skip("needs a CUDA device")
            pytest.importorskip("unsloth")

    def test_sequences_are_isolated(self, tiny_llama: Path) -> None:
        model = load_plain(tiny_llama)
        serve_rows(model)
        batch = collate([{"input_ids": [5, 6], "labels": [5, 6]}] * 2, padding_free=True)
        inputs = {name: value for name, value in batch.items() if name not in ("labels", "num_items")}
        with pytest.raises(TunesmithError, match=r"trainer\.padding_free=false"):
            model(**inputs, use_cache=False)


class FastLanguageModel:
    """A stand-in with unsloth's signatures: plain transformers that reads an index tensor as all logits, as it does."""

    calls: list[tuple[str, Any]] = []

    @classmethod
    def from_pretrained(cls, model_name: str, max_seq_length: int, dtype: Any, **options: Any) -> tuple[Any, Any]:
        cls.calls.append(("from_pretrained", {"max_seq_length": max_seq_length, "dtype": dtype, **options}))
        model = load_plain(Path(model_name))
        forward = model.forward

        def fast_forward(input_ids: Any = None, logits_to_keep: Any = 0, **kwargs: Any) -> Any:
            kept = 0 if isinstance(logits_to_keep, torch.Tensor) else logits_to_keep
            return forward(input_ids=input_ids, logits_to_keep=kept, **kwargs)

        model.forward = fast_forward
        return model, None

    @classmethod
    def patch_peft_model(cls, model: Any, use_gradient_checkpointing: Any = "unsloth") -> Any:
        if not isinstance(model, PeftModelForCausalLM):
            raise TypeError("Your model needs to call `.get_peft_model` first!")
        cls.calls.append(("patch_peft_model", use_gradient_checkpointing))
        return model

    @classmethod
    def for_training(cls, model: Any, use_gradient_checkpointing: bool = True) -> Any:
        cls.calls.append(("for_training", use_gradient_checkpointing))
        return model.train()

    @classmethod
    def for_inference(cls, model: Any) -> Any:
        cls.calls.append(("for_inference", None))
        return model.eval()


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """unsloth and a GPU, as far as the plugin can see; gives the list of calls."""
    module = SimpleNamespace(FastLanguageModel=FastLanguageModel, __spec__=object())
    monkeypatch.setitem(sys.modules, "unsloth", module)
    monkeypatch.setattr(loading, "gpu", lambda: 0)
    monkeypatch.setenv("UNSLOTH_RETURN_LOGITS", "0")
    monkeypatch.setattr(FastLanguageModel, "calls", [])
    return FastLanguageModel.calls


def load(folder: Path, tokenizer: Any, *, training: bool = True, quantization: Any = None, **options: Any) -> Any:
    plugin = Unsloth(path=str(folder), **options)
    return plugin.load_model(source_of(folder, training=training), tokenizer, quantization)


def adapt(plugin: Unsloth, model: Any, folder: Path, training: bool = True, trained: Path | None = None) -> Any:
    """The plugin's wrapper around an adapter plugin, as pluggy runs them."""
    source = source_of(folder, training=training)
    around = plugin.apply_adapter(model=model, source=source)
    next(around)
    with pytest.raises(StopIteration) as stop:
        if trained is not None:
            around.send(load_adapter(model, trained, source))
        config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
        around.send(ready_to_train(put_adapter(model, config), "LoRA"))
    return stop.value.value


def test_without_the_package() -> None:
    if "unsloth" in sys.modules:
        pytest.skip("unsloth is installed")
    with pytest.raises(
        TunesmithError, match=r"(?s)unsloth is not installed.*environment of its own.*model=transformers"
    ):
        Unsloth(path="models/tiny").resolve_precision("auto")


def test_without_a_gpu(stand_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "gpu", lambda: None)
    with pytest.raises(TunesmithError, match=r"(?s)need an NVIDIA GPU.*use model=transformers"):
        Unsloth(path="models/tiny").resolve_precision("fp32")


def test_what_unsloth_itself_refuses(stand_in: Any, tiny_llama: Path, tiny_bpe: Any, monkeypatch: Any) -> None:
    def refuse(**options: Any) -> None:
        raise NotImplementedError("Unsloth: xlstm is not supported yet!")

    monkeypatch.setattr(FastLanguageModel, "from_pretrained", refuse)
    with pytest.raises(TunesmithError, match=r"unsloth cannot load this model: Unsloth: xlstm is not supported"):
        load(tiny_llama, tiny_bpe)
    with pytest.raises(TunesmithError, match=r"(?s)cannot take this adapter.*use model=transformers"):
        adapter = Unsloth(path="models/tiny").apply_adapter(model=None, source=source_of(tiny_llama))
        next(adapter)
        adapter.send(load_plain(tiny_llama))


def test_the_options_reach_unsloth(stand_in: Any, tiny_llama: Path, tiny_bpe: Any) -> None:
    quantization = SimpleNamespace(load_in_4bit=True, load_in_8bit=False)
    load(tiny_llama, tiny_bpe, max_seq_length=512, gradient_checkpointing=True, quantization=quantization)
    ((name, given),) = stand_in
    assert name == "from_pretrained" and os.environ["UNSLOTH_RETURN_LOGITS"] == "1"
    expected = {
        "max_seq_length": 512,
        "dtype": torch.float32,
        "device_map": {"": 0},
        "use_gradient_checkpointing": True,
        "trust_remote_code": False,
        "random_state": 0,
        "use_exact_model_name": True,
        "load_in_4bit": True,
        "load_in_8bit": False,
    }
    assert given == expected
    load(tiny_llama, tiny_bpe, training=False)
    assert [name for name, _ in stand_in[1:]] == ["from_pretrained", "for_inference"]
    assert not stand_in[1][1]["load_in_4bit"]


def test_more_tokens_than_embeddings(stand_in: Any, tiny_llama: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.add_tokens(["<wave>"])
    model = load(tiny_llama, tokenizer)
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer)


@pytest.mark.parametrize("adapted", [False, True])
def test_rows_of_logits(stand_in: Any, tiny_llama: Path, tiny_bpe: Any, adapted: bool) -> None:
    """An index tensor gives its rows, also through peft; numbers, and none, are unsloth's."""
    model = load(tiny_llama, tiny_bpe)
    if adapted:
        model = adapt(Unsloth(path="models/tiny"), model, tiny_llama)
    ids = torch.tensor([tiny_bpe.encode("count the waves twice", add_special_tokens=False)])
    with torch.no_grad():
        expected = load_plain(tiny_llama)(input_ids=ids).logits
        for keep, rows in ((torch.tensor([1, 3]), [1, 3]), (2, [-2, -1]), (0, list(range(ids.shape[1])))):
            found = model(input_ids=ids, use_cache=False, logits_to_keep=keep).logits
            torch.testing.assert_close(found, expected[:, rows])


def test_lora_is_trained_saved_and_plain(stand_in: Any, tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    plugin = Unsloth(path="models/tiny")
    model = adapt(plugin, load(tiny_llama, tiny_bpe), tiny_llama)
    assert stand_in[1:] == [("patch_peft_model", "unsloth"), ("for_training", True)] and model.training
    losses = train(model, collate(examples(tiny_bpe)))
    assert losses[-1] < 0.9 * losses[0]
    model.save_pretrained(tmp_path)
    plain = PeftModel.from_pretrained(load_plain(tiny_llama), tmp_path)
    expected = logits_of(model, tiny_bpe)
    torch.testing.assert_close(logits_of(plain, tiny_bpe), expected)
    served = load(tiny_llama, tiny_bpe, training=False)
    served = adapt(plugin, served, tiny_llama, training=False, trained=tmp_path)
    assert stand_in[-1] == ("for_inference", None) and not served.training
    torch.testing.assert_close(logits_of(served, tiny_bpe), expected)


# of other names than the built-in ones
LOW_RANK = SimpleNamespace(traits=AdapterTraits(beside=True, low_rank=True))
OF_BITSANDBYTES = SimpleNamespace(traits=QuantizerTraits(method="bitsandbytes"))
KEEPS_LAYERS = SimpleNamespace(traits=PatchTraits(keeps_layers=True))


@pytest.mark.parametrize(
    ("plugins", "values", "command", "found"),
    [
        ({}, {}, "train", []),
        ({"adapter": {"full": None}}, {}, "train", ["adapter"]),
        ({"quantizer": {"hqq": None}}, {}, "train", ["quantizer"]),
        ({"quantizer": {"mine": OF_BITSANDBYTES}}, {"quantizer.bits": 8}, "train", []),
        ({"quantizer": {"mine": OF_BITSANDBYTES}}, {"quantizer.quant_type": "fp4"}, "train", ["quantizer.quant_type"]),
        ({"patch": {"liger": None, "mine": KEEPS_LAYERS}}, {}, "train", ["patch.liger"]),
        ({}, {"trainer.padding_free": True}, "train", ["trainer.padding_free"]),
        ({}, {"trainer.gradient_checkpointing": True}, "train", ["trainer.gradient_checkpointing"]),
        ({}, {"stage.max_length": 4096}, "train", ["model.max_seq_length"]),
        ({}, {"adapter.dropout": 0.1}, "train", ["adapter.dropout"]),
        ({}, {"adapter.dropout": 0.1}, "chat", []),
        ({}, {}, "export", ["model"]),
    ],
)
def test_check(plugins: Any, values: Any, command: str, found: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    unsloth = Unsloth(path="org/model")
    plan = StubPlan({"model": {"unsloth": unsloth}, "adapter": {"mine": LOW_RANK}, **plugins}, command, values)
    problems = unsloth.check(plan)
    if command != "export" and "unsloth" not in sys.modules:
        missing, *problems = problems
        assert missing.key == "model" and "pip install unsloth" in missing.advice
    assert [problem.key for problem in problems] == found
    assert all((problem.severity == "warning") == (problem.key == "adapter.dropout") for problem in problems)


def test_ranges() -> None:
    _, problems = structured(Unsloth, {"path": "org/model", "max_seq_length": 0}, ("model",), "model=unsloth")
    assert [str(problem.key) for problem in problems] == ["model.max_seq_length"]


@pytest.mark.gpu
@pytest.mark.parametrize("quantised", [False, True])
def test_lora_with_unsloth_itself(tmp_path: Path, quantised: bool) -> None:
    """Trained by its kernels; peft and transformers alone compute the same from what was saved."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    pytest.importorskip("unsloth")
    from transformers import AutoTokenizer, BitsAndBytesConfig
    from tunesmith_library_testing.tiny import save_tiny_model

    import_unsloth()
    folder = save_tiny_model(tmp_path / "base", hidden_size=256, dtype="bfloat16")
    tokenizer, plugin = AutoTokenizer.from_pretrained(folder), Unsloth(path=str(folder))
    source = source_of(folder, precision="bf16")
    config = BitsAndBytesConfig(load_in_4bit=True) if quantised else None
    model = adapt(plugin, plugin.load_model(source, tokenizer, config), folder)
    batch = {n: v.cuda() if isinstance(v, torch.Tensor) else v for n, v in collate(examples(tokenizer)).items()}
    with torch.autocast("cuda", torch.bfloat16):
        losses = train(model, batch)
    assert losses[-1] < 0.9 * losses[0]
    model.save_pretrained(tmp_path / "run")
    plain = PeftModel.from_pretrained(load_plain(folder, "bfloat16").cuda(), tmp_path / "run")
    expected = logits_of(plain, tokenizer)
    with torch.autocast("cuda", torch.bfloat16):
        difference = (logits_of(model, tokenizer) - expected).norm() / expected.norm()
    assert difference < (0.2 if quantised else 0.03)
