"""Reward models: the conformance suite, transformers' reading of what is saved, TRL's loss, and adapters."""

from __future__ import annotations

import copy
import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith.errors import ConfigError
from tunesmith.types import ModelSource
from tunesmith_library_testing import StageSuite
from tunesmith_library_testing.parts import CHATML, StubPlan, load_plain, records
from tunesmith_library_testing.tiny import save_tiny_model, tiny_tokenizer
from tunesmith_stage_reward import RewardModelling
from tunesmith_stage_reward.classifier import last_scores, score_every_token, to_classifier


def pair(question: str, chosen: str, rejected: str) -> dict[str, Any]:
    answers = {"chosen": chosen, "rejected": rejected}
    turns = {name: [{"role": "assistant", "content": text}] for name, text in answers.items()}
    return {"prompt": [{"role": "user", "content": question}], **turns}


ROWS = [
    pair("Who counts the waves?", "Nobody counts them twice.", "I do."),
    pair("再见！", "Good bye, 朋友.", "The tide turns, and the whales sing of it."),
]


def classifier_of(folder: Path) -> Any:
    torch.manual_seed(0)
    classifier = to_classifier(load_plain(folder), tiny_tokenizer())
    score_every_token(classifier)
    return classifier


class TestRewardModelling(StageSuite):
    plugin = RewardModelling
    rows = ROWS

    def model(self, folder: Path) -> Any:
        return classifier_of(folder)


def encoded(tokenizer: Any, rows: Any = ROWS) -> list[dict[str, Any]]:
    columns = RewardModelling().encode(rows=rows, processor=tokenizer, template=CHATML.bind(tokenizer))
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def scores_by_transformers(model: Any, examples: list[dict[str, Any]], name: str) -> torch.Tensor:
    """One sequence at a time, by the model's own forward."""
    return torch.cat([model(input_ids=torch.tensor([row[f"{name}_input_ids"]])).logits[0] for row in examples])


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gpt2"])
@pytest.mark.parametrize("padding_free", [True, False])
def test_equals_the_saved_classifier(tmp_path: Path, tiny_bpe: Any, architecture: str, padding_free: bool) -> None:
    """What transformers computes after loading the saved model, in a plain formula, is the loss and its gradient."""
    from transformers import AutoModelForSequenceClassification

    if architecture == "gpt2" and padding_free:
        pytest.skip("its positions are learned and its attention takes no concatenated batch")
    settings: dict[str, Any] = {"gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4}}.get(architecture, {})
    tied = {"tie_word_embeddings": architecture == "qwen2"}
    model = classifier_of(save_tiny_model(tmp_path / "base", architecture=architecture, **settings, **tied))
    model.save_pretrained(tmp_path / "saved")
    loaded, info = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    examples, stage = encoded(tiny_bpe), RewardModelling(center_coefficient=0.1)
    chosen, rejected = (scores_by_transformers(loaded.eval(), examples, name) for name in ("chosen", "rejected"))
    probability = torch.sigmoid((chosen - rejected).double())
    expected = (-probability.log() + 0.1 * (chosen + rejected).double() ** 2).sum()
    output = stage.compute_loss(
        model.eval(), stage.collate(examples=examples, padding_free=padding_free, processor=None)
    )
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert float(output.metrics["margin"]) == pytest.approx((chosen - rejected).sum().item(), rel=1e-4, abs=1e-6)
    assert float(output.metrics["accuracy"]) == float((chosen > rejected).sum())
    output.loss.backward()
    expected.backward()
    gradients = {name: weight.grad for name, weight in loaded.named_parameters()}
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.grad, gradients[name], rtol=1e-3, atol=1e-6, msg=name)


def test_equals_trl(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    """TRL's RewardTrainer gives the same loss for the same pairs and head."""
    import datasets
    import trl
    from transformers import AutoModelForSequenceClassification

    classifier_of(tiny_llama).save_pretrained(tmp_path / "saved")
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    arguments = trl.RewardConfig(
        output_dir=str(tmp_path / "trl"), use_cpu=True, report_to="none", bf16=False, center_rewards_coefficient=0.1
    )
    text = datasets.Dataset.from_dict({"chosen": ["a b", "c"], "rejected": ["d", "e f"]})
    trainer = trl.RewardTrainer(loaded, args=arguments, train_dataset=text, processing_class=tiny_bpe)
    trainer.model.eval()
    stage, examples = RewardModelling(center_coefficient=0.1), encoded(tiny_bpe)
    batch = stage.collate(examples=examples, padding_free=False, processor=None)
    inputs = {name: batch[name].clone() for name in ("input_ids", "attention_mask")}
    inputs["input_ids"][inputs["attention_mask"] == 0] = tiny_bpe.pad_token_id
    expected = trainer.compute_loss(trainer.model, inputs)
    found = stage.compute_loss(
        classifier_of(tiny_llama), stage.collate(examples=examples, padding_free=True, processor=None)
    )
    assert (found.loss / 2).item() == pytest.approx(expected.item(), rel=1e-5)


def test_sequences_are_kept_apart(tiny_llama: Path) -> None:
    """The trainer's question of every model whose batches it concatenates."""
    from tunesmith_library_training import isolation

    assert isolation.isolates_sequences(classifier_of(tiny_llama)) < isolation.TOLERANCE


def test_an_architecture_without_classifier(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model", architecture="mamba")
    with pytest.raises(TunesmithError, match="no sequence classifier for mamba"):
        to_classifier(load_plain(folder), tiny_tokenizer())


@pytest.mark.parametrize(("option", "value"), [("center_coefficient", -1.0), ("max_length", 0)])
def test_ranges(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"stage\.{option} cannot be {value}"):
        TestRewardModelling.make(**{option: value})


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["lora", "full", "freeze"])
def test_the_road(tiny_llama: Path, tmp_path: Path, adapter: str) -> None:
    """A run learns to tell answers apart; transformers alone, its export and the reward plugin give the same scores."""
    import tunesmith
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    rows = [{"instruction": f"Say {n}.", "chosen": f"The tide {n}.", "rejected": f"whale {n}"} for n in range(24)]
    (tmp_path / "pairs.json").write_text(json.dumps(rows))
    config = {
        "model": {"path": str(tiny_llama)},
        "template": "chatml",
        "data": {"train": [str(tmp_path / "pairs.json")], "val_size": 8, "cache": False},
        "stage": "reward",
        "adapter": adapter,
        "precision": "fp32",
        "output_dir": str(tmp_path / "out"),
        "trainer": {
            "max_steps": 30,
            "per_device_train_batch_size": 4,
            "learning_rate": 1e-2 if adapter == "lora" else 1e-3,
            "logging_steps": 1,
            "save_strategy": "no",
            "eval_strategy": "steps",
            "eval_steps": 30,
        },
    }
    folder = tunesmith.train(config)
    events = records(folder)
    last = [event for event in events if "eval_loss" in event][-1]
    accuracies = {value for name, value in last.items() if name.endswith("accuracy")}
    assert accuracies == {1.0} and last["eval_loss"] < 0.3
    chats = [
        [{"role": "user", "content": "Say 99."}, {"role": "assistant", "content": answer}]
        for answer in ("The tide 99.", "whale 99", "The tide.")
    ]
    by_run = scores_of_run(folder, chats)
    assert by_run[0] > by_run[1] + 1
    exported = tunesmith.export(folder, output_dir=tmp_path / "exported")
    plain = AutoModelForSequenceClassification.from_pretrained(exported).eval()
    tokenizer = AutoTokenizer.from_pretrained(exported)
    assert plain.config.pad_token_id == tokenizer.pad_token_id is not None and plain.config.num_labels == 1
    alone = [plain(**tokenizer.apply_chat_template([chat], return_tensors="pt", return_dict=True)) for chat in chats]
    assert [float(output.logits[0, 0]) for output in alone] == pytest.approx(by_run, rel=1e-4, abs=1e-4)
    together = plain(**tokenizer.apply_chat_template(chats, padding=True, return_tensors="pt", return_dict=True))
    assert together.logits[:, 0].tolist() == pytest.approx(by_run, rel=1e-4, abs=1e-4)
    with pytest.raises(ConfigError, match="it cannot answer"):
        tunesmith.chat(folder, [chats[0][:1]])
    with pytest.raises(TunesmithError, match="cannot answer"):
        tunesmith.chat({"model": {"path": str(exported)}}, [chats[0][:1]])
    import tunesmith_reward_model as judges

    for path in (folder, exported):
        reward = judges.RewardModel(path=str(path), device="cpu", batch_size=2)
        scores = reward.score(prompts=[chat[:1] for chat in chats], completions=[chat[1]["content"] for chat in chats])
        assert scores == pytest.approx(by_run, rel=1e-4, abs=1e-4)


def scores_of_run(folder: Path, chats: list[Any]) -> list[float]:
    """What a run's own adapter or weights say, put together with peft and transformers by hand."""
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    if (folder / "adapter_config.json").is_file():
        about = json.loads((folder / "adapter_config.json").read_text())
        base = AutoModelForSequenceClassification.from_pretrained(about["base_model_name_or_path"], num_labels=1)
        model = PeftModel.from_pretrained(base, folder)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = [tokenizer.apply_chat_template([chat], return_tensors="pt", return_dict=True) for chat in chats]
    with torch.no_grad():
        return [float(model.eval()(**some).logits[0, 0]) for some in inputs]


def loaded(folder: Path, *, training: bool, tokenizer: Any = None) -> Any:
    """What the stage makes of a model, as the wrapper of load_model."""
    source = ModelSource(folder, "tiny", "fp32", 0, training)
    loading = RewardModelling().load_model(source=source, processor=tokenizer or tiny_tokenizer())
    next(loading)
    with pytest.raises(StopIteration) as stopped:
        loading.send(load_plain(folder))
    return stopped.value.value


def test_a_trained_head_is_kept(tiny_llama: Path, tmp_path: Path) -> None:
    """Loaded again, a reward model is what it was; a language model gets a fresh head."""
    torch.manual_seed(1)
    first = loaded(tiny_llama, training=True)
    assert first.fresh_modules == ["score"]
    first.save_pretrained(tmp_path / "reward")
    again = loaded(tmp_path / "reward", training=False)
    torch.testing.assert_close(again.score.weight, first.score.weight, rtol=0, atol=0)
    assert not torch.equal(loaded(tiny_llama, training=False).score.weight, first.score.weight)
    ids = torch.tensor([[5, 6, 7]])
    assert first(input_ids=ids).logits.shape == (1, 3, 1) and again(input_ids=ids).logits.shape == (1, 1)


def test_padded_batches_of_transformers(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    """The saved configuration has the padding token, so that plain transformers finds the ends of padded sequences.

    Also where the padding token is the one that ends a text, as with many tokenizers: the stage then reads the token
    before, in training too.
    """
    from transformers import AutoModelForSequenceClassification

    tiny_bpe = copy.deepcopy(tiny_bpe)
    for pad in (tiny_bpe.pad_token, "<|im_end|>"):
        tiny_bpe.pad_token = pad
        torch.manual_seed(0)
        model = to_classifier(load_plain(tiny_llama), tiny_bpe).eval()
        model.save_pretrained(tmp_path / "saved")
        plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
        assert plain.config.pad_token_id == tiny_bpe.pad_token_id is not None
        texts = ["A tide, and another one.<|im_end|>", "whale<|im_end|>", "<|im_end|>"]
        padded = tiny_bpe(texts, padding=True, add_special_tokens=False, return_tensors="pt")
        together = plain(input_ids=padded["input_ids"], attention_mask=padded["attention_mask"]).logits[:, 0]
        alone = [tiny_bpe(text, add_special_tokens=False, return_tensors="pt")["input_ids"] for text in texts]
        for index, ids in enumerate(alone):
            torch.testing.assert_close(plain(input_ids=ids).logits[0, 0], together[index], rtol=1e-4, atol=1e-5)
        score_every_token(model)
        bounds = torch.tensor([0, *(ids.shape[1] for ids in alone)]).cumsum(0).int()
        starts = torch.cat([torch.arange(ids.shape[1]) for ids in alone])[None]
        row = {"input_ids": torch.cat(alone, dim=1), "cu_seq_lens_q": bounds}
        apart = torch.cat([model(input_ids=ids).logits for ids in alone], dim=1)
        assert apart.shape[1] == starts.shape[1]
        torch.testing.assert_close(last_scores(apart, row, tiny_bpe.pad_token_id), together, rtol=1e-4, atol=1e-5)
        scores = model(input_ids=padded["input_ids"], attention_mask=padded["attention_mask"]).logits
        torch.testing.assert_close(last_scores(scores, padded, tiny_bpe.pad_token_id), together, rtol=1e-4, atol=1e-5)


def test_a_tokenizer_without_padding(tiny_llama: Path, tiny_bpe: Any) -> None:
    tokenizer = copy.deepcopy(tiny_bpe)
    tokenizer.pad_token = None
    with pytest.raises(TunesmithError, match="neither a pad_token nor an eos_token"):
        to_classifier(load_plain(tiny_llama), tokenizer)


ADAPTERS = {"lora": "Lora", "oft": "Oft", "freeze": "Freeze", "llama_pro": "LlamaPro", "full": "Full"}


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_adapter_trains_the_head(tiny_llama: Path, tmp_path: Path, adapter: str) -> None:
    """It is trained and saved, and is no target of the adapter's own."""
    package = importlib.import_module(f"tunesmith_adapter_{adapter}")
    options = {"llama_pro": {"new_layers": 1}}.get(adapter, {})
    plugin = getattr(package, ADAPTERS[adapter])(**options)
    model = loaded(tiny_llama, training=True)
    source = ModelSource(tiny_llama, "tiny", "fp32", 0, True)
    adapted = plugin.apply_adapter(model=model, trained=None, source=source)
    names = [name for name, weight in adapted.named_parameters() if weight.requires_grad and "score" in name]
    assert len(names) == 1 and names[0].endswith("weight") and "lora" not in names[0] and "oft" not in names[0]
    with torch.no_grad():
        adapted.get_parameter(names[0]).fill_(0.5)
    adapted.save_pretrained(tmp_path / "saved")
    weights = {
        name: weight for file in (tmp_path / "saved").glob("*.safetensors") for name, weight in read(file).items()
    }
    (saved,) = (weight for name, weight in weights.items() if "score" in name)
    assert bool((saved == 0.5).all())


def read(file: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(file)


def test_an_adapter_without_the_head_is_not_gone_on_with(tiny_llama: Path, tmp_path: Path) -> None:
    """An adapter that was trained on conversations does not have the head; merged into the base it is a good start."""
    import tunesmith_adapter_lora as package

    source = ModelSource(tiny_llama, "tiny", "fp32", 0, True)
    package.Lora().apply_adapter(model=load_plain(tiny_llama), trained=None, source=source).save_pretrained(tmp_path)
    with pytest.raises(TunesmithError, match=r"does not train score(.|\n)*adapter.restart=true"):
        package.Lora(path=str(tmp_path)).apply_adapter(
            model=loaded(tiny_llama, training=True), trained=None, source=source
        )
    fresh = package.Lora(path=str(tmp_path), restart=True)
    adapted = fresh.apply_adapter(model=loaded(tiny_llama, training=True), trained=None, source=source)
    assert any("score" in name for name, weight in adapted.named_parameters() if weight.requires_grad)


def test_loss_of_each_data_set(tiny_llama: Path, tiny_bpe: Any) -> None:
    stage, model = RewardModelling(), classifier_of(tiny_llama)
    examples = encoded(tiny_bpe)
    named = [{**example, "dataset": name} for example, name in zip(examples, ("tides", "whales"), strict=True)]
    output = stage.compute_loss(model, stage.collate(examples=named, padding_free=True, processor=None))
    for example, name in zip(examples, ("tides", "whales"), strict=True):
        alone = stage.compute_loss(model, stage.collate(examples=[example], padding_free=True, processor=None))
        assert output.metrics[f"loss_{name}"].tolist() == pytest.approx([alone.loss.item(), 1.0], rel=1e-4)


def test_it_does_not_chat() -> None:
    stage = RewardModelling()
    (problem,) = stage.check(plan=StubPlan({"stage": {"reward": stage}}, command="chat"))
    assert problem.severity == "error" and "reward.model.path=RUN" in problem.advice
    assert stage.check(plan=StubPlan({"stage": {"reward": stage}}, command="export")) == []
