"""Reward models: the conformance suite, transformers' reading of what is saved, TRL's loss, and adapters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith.testing import StageSuite
from tunesmith.testing.parts import CHATML, StubPlan, load_plain
from tunesmith.testing.tiny import save_tiny_model, tiny_tokenizer
from tunesmith_stage_reward import RewardModelling
from tunesmith_stage_reward.classifier import head_name, to_classifier


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
    return to_classifier(load_plain(folder), tiny_tokenizer())


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
def test_equals_the_saved_classifier(tmp_path: Path, tokenizer: Any, architecture: str, padding_free: bool) -> None:
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
    examples, stage = encoded(tokenizer), RewardModelling(center_coefficient=0.1)
    chosen, rejected = (scores_by_transformers(loaded.eval(), examples, name) for name in ("chosen", "rejected"))
    probability = torch.sigmoid((chosen - rejected).double())
    expected = (-probability.log() + 0.1 * (chosen + rejected).double() ** 2).sum()
    output = stage.compute_loss(model.eval(), stage.collate(examples=examples, padding_free=padding_free))
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert float(output.metrics["margin"]) == pytest.approx((chosen - rejected).sum().item(), rel=1e-4, abs=1e-6)
    assert float(output.metrics["accuracy"]) == float((chosen > rejected).sum())
    output.loss.backward()
    expected.backward()
    gradients = {name: weight.grad for name, weight in loaded.named_parameters()}
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.grad, gradients[name], rtol=1e-3, atol=1e-6, msg=name)


def test_equals_trl(tiny_model: Path, tokenizer: Any, tmp_path: Path) -> None:
    """TRL's RewardTrainer gives the same loss for the same pairs and head."""
    trl, datasets = pytest.importorskip("trl"), pytest.importorskip("datasets")
    from transformers import AutoModelForSequenceClassification

    classifier_of(tiny_model).save_pretrained(tmp_path / "saved")
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    arguments = trl.RewardConfig(
        output_dir=str(tmp_path / "trl"), use_cpu=True, report_to="none", bf16=False, center_rewards_coefficient=0.1
    )
    text = datasets.Dataset.from_dict({"chosen": ["a b", "c"], "rejected": ["d", "e f"]})
    trainer = trl.RewardTrainer(loaded, args=arguments, train_dataset=text, processing_class=tokenizer)
    trainer.model.eval()
    stage, examples = RewardModelling(center_coefficient=0.1), encoded(tokenizer)
    batch = stage.collate(examples=examples, padding_free=False)
    inputs = {name: batch[name].clone() for name in ("input_ids", "attention_mask")}
    inputs["input_ids"][inputs["attention_mask"] == 0] = tokenizer.pad_token_id
    expected = trainer.compute_loss(trainer.model, inputs)
    found = stage.compute_loss(classifier_of(tiny_model), stage.collate(examples=examples, padding_free=True))
    assert (found.loss / 2).item() == pytest.approx(expected.item(), rel=1e-5)


def test_sequences_are_kept_apart(tiny_model: Path) -> None:
    """The trainer's question of every model whose batches it concatenates."""
    isolation = pytest.importorskip("tunesmith_model_transformers.isolation")
    assert isolation.isolates_sequences(classifier_of(tiny_model)) < isolation.TOLERANCE


def test_an_architecture_without_classifier(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model", architecture="mamba")
    with pytest.raises(TunesmithError, match="no sequence classifier for mamba"):
        to_classifier(load_plain(folder), tiny_tokenizer())


def test_check() -> None:
    stage = RewardModelling(center_coefficient=-1.0, max_length=0)
    problems = stage.check(plan=StubPlan({"stage": {"reward": stage}}))
    assert [problem.key for problem in problems] == ["stage.max_length", "stage.center_coefficient"]


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["lora", "full"])
def test_the_road(tiny_model: Path, tmp_path: Path, adapter: str) -> None:
    """A run learns to tell answers apart, and transformers alone reads the same scores from its folder."""
    import tunesmith
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    rows = [{"instruction": f"Say {n}.", "chosen": f"The tide {n}.", "rejected": f"whale {n}"} for n in range(24)]
    (tmp_path / "pairs.json").write_text(json.dumps(rows))
    config = {
        "model": {"path": str(tiny_model)},
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
    events = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    last = [event for event in events if "eval_loss" in event][-1]
    accuracies = {value for name, value in last.items() if name.endswith("accuracy")}
    assert accuracies == {1.0} and last["eval_loss"] < 0.3
    if adapter == "lora":
        from peft import PeftModel

        base = AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=1)
        model = PeftModel.from_pretrained(base, folder)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    scores = []
    for answer in ("The tide 99.", "whale 99"):
        chat = [{"role": "user", "content": "Say 99."}, {"role": "assistant", "content": answer}]
        inputs = tokenizer.apply_chat_template(chat, return_tensors="pt", return_dict=True)
        scores.append(model.eval()(**inputs).logits.item())
    assert scores[0] > scores[1] + 1


def test_the_head_is_trained_whole(tiny_model: Path) -> None:
    """An adapter with `modules_to_save` gets the fresh head, which it must train and save."""

    class Adapter:
        modules_to_save: list[str] = []

    stage, adapter = RewardModelling(), Adapter()
    stage.check(plan=StubPlan({"stage": {"reward": stage}, "adapter": {"lora": adapter}}))
    loading = stage.load_model(processor=tiny_tokenizer())
    next(loading)
    with pytest.raises(StopIteration) as stopped:
        loading.send(load_plain(tiny_model))
    assert head_name(stopped.value.value) == "score" and adapter.modules_to_save == ["score"]
