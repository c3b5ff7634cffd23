"""Preference pairs against transformers in float64, TRL's DPO, and a classifier's own forward."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith import DataError, TunesmithError
from tunesmith.traits import StageTraits
from tunesmith_evaluator_preference import Preference
from tunesmith_library_evaluating import Evaluation, EvaluationData
from tunesmith_library_testing import EvaluatorSuite
from tunesmith_library_testing.engine import chat_of
from tunesmith_library_testing.parts import CHATML, StubPlan, handle_of, load_plain
from tunesmith_library_testing.tiny import save_tiny_model, tiny_tokenizer


def pair(question: str, chosen: str, rejected: str) -> dict[str, Any]:
    answers = {"chosen": chosen, "rejected": rejected}
    turns = {name: [{"role": "assistant", "content": text}] for name, text in answers.items()}
    return {"prompt": [{"role": "user", "content": question}], **turns}


ROWS = (
    pair("Who counts the waves?", "Nobody counts them twice.", "I do."),
    pair("再见！", "Good bye, 朋友.", "The tide turns, and the whales sing of it all night long."),
    pair("1 + 2?", "3", "4"),
)


class TestPreference(EvaluatorSuite):
    plugin = Preference
    rows = ROWS


class TestPreferenceThroughTheEngine(EvaluatorSuite):
    plugin = Preference
    options = {"through": "engine"}
    rows = ROWS


def evaluate(model: Any, folder: Path, tokenizer: Any, rows: Any = ROWS, **options: Any) -> Evaluation:
    handle = handle_of(folder, tokenizer, load=lambda: model)
    data = EvaluationData(rows=lambda: {"pairs": rows}, examples=dict)
    plugin = Preference(**{name: value for name, value in options.items() if name != "scores"})
    if options.get("scores"):
        plugin.configured(plan=StubPlan({"stage": {"mine": Scores()}}))
    return plugin.evaluate(handle=handle, chat=chat_of(handle), data=data)


class Scores:
    """A stage of which only the traits matter."""

    traits = StageTraits(scores=True)


def tokens_of(tokenizer: Any, row: Any, side: str) -> tuple[list[int], range]:
    """A conversation's tokens, and where those of the answer and of what ends it are."""

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    whole = CHATML.render([*row["prompt"], *row[side]]).text
    ended = whole.rstrip("\n")
    before = ended.removesuffix(row[side][0]["content"] + "<|im_end|>")
    return encode(whole), range(len(encode(before)), len(encode(ended)))


def log_probs_by_transformers(model: Any, tokenizer: Any, row: Any, side: str) -> list[float]:
    ids, answer = tokens_of(tokenizer, row, side)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].log_softmax(-1)
    return [logits[place - 1, ids[place]].item() for place in answer]


@pytest.mark.parametrize("through", ["model", "engine"])
def test_likelihood_equals_transformers(tiny_llama: Path, tiny_bpe: Any, through: str) -> None:
    """In float64, one sequence at a time: sums, means, margins, and which answer is likelier."""
    exact = load_plain(tiny_llama, dtype="float64")
    found = evaluate(load_plain(tiny_llama), tiny_llama, tiny_bpe, through=through)
    sums, means = [], []
    for record, row in zip(found.records, ROWS, strict=True):
        chosen, rejected = (log_probs_by_transformers(exact, tiny_bpe, row, side) for side in ("chosen", "rejected"))
        assert record["chosen_log_prob"] == pytest.approx(sum(chosen), rel=1e-5)
        assert record["rejected_log_prob"] == pytest.approx(sum(rejected), rel=1e-5)
        assert (record["chosen_tokens"], record["rejected_tokens"]) == (len(chosen), len(rejected))
        sums.append(sum(chosen) - sum(rejected))
        means.append(sum(chosen) / len(chosen) - sum(rejected) / len(rejected))
    metrics = found.metrics["pairs"]
    assert metrics["margin"].value == pytest.approx(sum(sums) / 3, rel=1e-4)
    assert metrics["margin_per_token"].value == pytest.approx(sum(means) / 3, rel=1e-4)
    assert metrics["accuracy"].value == pytest.approx(sum(margin > 0 for margin in sums) / 3)
    assert metrics["accuracy_per_token"].value == pytest.approx(sum(margin > 0 for margin in means) / 3)
    assert "reward_margin" not in metrics


@pytest.mark.slow  # the import of trl takes seconds
def test_implicit_rewards_equal_trl(tmp_path: Path, tiny_llama: Path, tiny_bpe: Any) -> None:
    """A model beside another as its reference: the numbers that TRL's DPO logs of the same pairs."""
    import datasets
    import trl

    torch.manual_seed(1)
    model = load_plain(tiny_llama)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.02 * torch.randn_like(weight)
    found = evaluate(model, tiny_llama, tiny_bpe, reference=str(tiny_llama), beta=0.3)
    text = {"prompt": ["a"], "chosen": ["b"], "rejected": ["c"]}
    arguments = trl.DPOConfig(output_dir=str(tmp_path), use_cpu=True, report_to="none", beta=0.3, bf16=False)
    train = datasets.Dataset.from_dict(text)
    trainer: Any = trl.DPOTrainer(
        model, load_plain(tiny_llama), args=arguments, train_dataset=train, processing_class=tiny_bpe
    )
    sequences = [tokens_of(tiny_bpe, row, side) for side in ("chosen", "rejected") for row in ROWS]
    shape = len(sequences), max(len(ids) for ids, _ in sequences)
    batch = {name: torch.zeros(shape, dtype=torch.long) for name in ("input_ids", "attention_mask", "completion_mask")}
    for place, (ids, answer) in enumerate(sequences):
        batch["input_ids"][place, : len(ids)] = torch.tensor(ids)
        batch["attention_mask"][place, : len(ids)] = 1
        batch["completion_mask"][place, list(answer)] = 1
    trainer._metrics["eval"].clear()
    trainer.model.eval()
    with torch.no_grad():
        trainer._compute_loss(trainer.model, batch, False)
    theirs = {name: values[0] for name, values in trainer._metrics["eval"].items()}
    ours = {name: number.value for name, number in found.metrics["pairs"].items()}
    assert ours["chosen_reward"] == pytest.approx(theirs["rewards/chosen"], rel=1e-4)
    assert ours["rejected_reward"] == pytest.approx(theirs["rewards/rejected"], rel=1e-4)
    assert ours["reward_margin"] == pytest.approx(theirs["rewards/margins"], rel=1e-3)
    assert ours["reward_accuracy"] == pytest.approx(theirs["rewards/accuracies"])
    assert abs(ours["reward_margin"]) > 1e-3


def test_the_adapter_switched_off_is_the_reference(tiny_llama: Path, tiny_bpe: Any) -> None:
    """The same numbers as beside the base in its own folder; a fresh adapter has learnt to prefer nothing."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    adapted: Any = get_peft_model(load_plain(tiny_llama), LoraConfig(r=4, target_modules="all-linear"))
    fresh = evaluate(adapted, tiny_llama, tiny_bpe).metrics["pairs"]
    assert fresh["reward_margin"].value == 0 and fresh["reward_accuracy"].value == 0
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.add_(0.1 * torch.randn_like(weight))
    switched = evaluate(adapted, tiny_llama, tiny_bpe).metrics["pairs"]
    beside = evaluate(adapted, tiny_llama, tiny_bpe, reference=str(tiny_llama)).metrics["pairs"]
    assert switched["reward_margin"].value != 0
    for name, number in switched.items():
        assert number.value == pytest.approx(beside[name].value, rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize("training", [False, True])
def test_scores_of_a_reward_model(tmp_path: Path, tiny_bpe: Any, training: bool) -> None:
    """As transformers scores one conversation at a time; also while it is trained, where each token has a score."""
    from tunesmith_stage_reward.classifier import score_every_token, to_classifier

    folder = save_tiny_model(tmp_path / "model", tokenizer=tiny_bpe)
    torch.manual_seed(0)
    model = to_classifier(load_plain(folder), tiny_tokenizer())
    expected = []
    for row in ROWS:
        ids = [tokens_of(tiny_bpe, row, side)[0] for side in ("chosen", "rejected")]
        with torch.no_grad():
            expected.append([model(input_ids=torch.tensor([each])).logits.item() for each in ids])
    if training:
        score_every_token(model)
    found = evaluate(model, folder, tiny_bpe, scores=True)
    for record, (chosen, rejected) in zip(found.records, expected, strict=True):
        assert record["chosen_score"] == pytest.approx(chosen, rel=1e-4, abs=1e-6)
        assert record["rejected_score"] == pytest.approx(rejected, rel=1e-4, abs=1e-6)
    margins = [chosen - rejected for chosen, rejected in expected]
    assert found.metrics["pairs"]["margin"].value == pytest.approx(sum(margins) / 3, rel=1e-4, abs=1e-6)
    assert found.metrics["pairs"]["accuracy"].value == pytest.approx(sum(margin > 0 for margin in margins) / 3)
    assert set(found.metrics["pairs"]) == {"accuracy", "margin"}


def test_pairs_that_are_left_out_are_said(tiny_llama: Path, tiny_bpe: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Those that are too long; the others keep their places."""
    caplog.set_level("INFO")
    rows = [pair("a", "b " * 60, "c"), *ROWS[2:]]
    found = evaluate(load_plain(tiny_llama), tiny_llama, tiny_bpe, rows, max_length=40)
    assert [record["index"] for record in found.records] == [1]
    assert "1 pairs left out" in caplog.text and "max_length" in caplog.text


def test_rows_without_pairs_are_refused(tiny_llama: Path, tiny_bpe: Any) -> None:
    rows = [ROWS[0], {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}]
    with pytest.raises(DataError, match=r"row 1 of data set pairs has no `prompt`, but messages"):
        evaluate(None, tiny_llama, tiny_bpe, rows)


def test_a_reference_with_other_tokens_is_refused(tmp_path: Path, tiny_llama: Path, tiny_bpe: Any) -> None:
    other = save_tiny_model(tmp_path / "other", tokenizer=tiny_tokenizer(vocab_size=300))
    with pytest.raises(TunesmithError, match="has other tokens than the model"):
        evaluate(load_plain(tiny_llama), tiny_llama, tiny_bpe, reference=str(other))


def test_preference_options_that_do_not_go_together(tmp_path: Path) -> None:
    def keys(plugin: Preference, stage: StageTraits) -> set[str]:
        named = type("Stage", (), {"traits": stage})()
        plan = StubPlan({"evaluator": {"preference": plugin}, "stage": {"mine": named}})
        return {str(problem.key) for problem in plugin.check(plan=plan)}

    answers, scores = StageTraits(), replace(StageTraits(), scores=True)
    assert keys(Preference(), answers) == keys(Preference(), scores) == set()
    assert keys(Preference(through="engine"), scores) == {"evaluator.preference.through"}
    assert keys(Preference(through="engine", reference="org/name"), answers) == {"evaluator.preference.through"}
    assert keys(Preference(reference=f"{tmp_path}/none"), answers) == {"evaluator.preference.reference"}
