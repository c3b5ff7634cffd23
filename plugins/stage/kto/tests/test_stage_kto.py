"""KTO against TRL's KTOTrainer, mismatched answers, precomputed references, and the conformance suite."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith.errors import ConfigError
from tunesmith.types import DatasetSplits, TrainingJob
from tunesmith_library_testing import StageSuite
from tunesmith_library_testing.parts import CHATML, load_plain
from tunesmith_library_training.reference import Reference
from tunesmith_stage_kto import KahnemanTversky
from tunesmith_stage_kto.losses import kto


def row(question: str, answer: str, label: bool) -> dict[str, Any]:
    completion = [{"role": "assistant", "content": answer}]
    return {"prompt": [{"role": "user", "content": question}], "completion": completion, "label": label}


ROWS = [
    row("Who counts the waves?", "Nobody counts them twice.", True),
    row("再见！", "The tide turns, and the whales sing of it.", False),
    row("1 + 2?", "3", True),
    row("2 + 2?", "5, I think.", False),
]

WORDS = ("one", "two", "three", "four", "five", "six", "seven")


class TestKahnemanTversky(StageSuite):
    plugin = KahnemanTversky
    rows = ROWS
    learning_rate = 1e-2

    def model(self, folder: Path) -> Any:
        from peft import LoraConfig, get_peft_model

        torch.manual_seed(0)
        return get_peft_model(load_plain(folder), LoraConfig(r=4, target_modules="all-linear"))


class TestWithoutBaseline(TestKahnemanTversky):
    options = {"loss": "apo_zero_unpaired"}


def encoded(tokenizer: Any, stage: Any, rows: Any = ROWS) -> list[dict[str, Any]]:
    columns = stage.encode(rows=rows, processor=tokenizer, template=CHATML.bind(tokenizer))
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def test_mismatched_answers(tiny_bpe: Any) -> None:
    """Each prompt stands with its own answer, and with the answer to the next prompt."""
    examples = encoded(tiny_bpe, KahnemanTversky())
    assert [example["label"] for example in examples] == [True, False, True, False]
    for index, example in enumerate(examples):
        for prefix, answer in (("", ROWS[index]), ("kl_", ROWS[(index + 1) % 4])):
            whole = CHATML.render([*ROWS[index]["prompt"], *answer["completion"]]).text
            assert tiny_bpe.decode(example[f"{prefix}input_ids"]) == whole
            trained = [label for label in example[f"{prefix}labels"] if label != -100]
            assert tiny_bpe.decode(trained) == answer["completion"][0]["content"] + "<|im_end|>"
    assert "kl_input_ids" not in encoded(tiny_bpe, KahnemanTversky(loss="apo_zero_unpaired"))[0]


def test_only_a_rows_own_answer_decides_on_it(tiny_bpe: Any) -> None:
    """The length of the mismatched answer leaves no row out: it is cut where it has too little room."""
    rows = [row("a", "b " * 60, True), *ROWS[1:]]
    kept = encoded(tiny_bpe, KahnemanTversky(max_length=60, longer="drop"), rows)
    lengths = [len(tiny_bpe.encode(CHATML.render([*one["prompt"], *one["completion"]]).text)) for one in rows]
    assert [length > 60 for length in lengths] == [True, False, False, False]
    assert [example["label"] for example in kept] == [False, True, False]
    assert [len(example["input_ids"]) for example in kept] == lengths[1:]
    assert len(kept[-1]["kl_input_ids"]) == 60  # the answer of the row that is left out, cut


def test_no_answer_is_compared_with_its_own_prompt(tiny_bpe: Any, caplog: Any) -> None:
    """Rows of one prompt follow each other, and the last batch may be of one row."""
    rows = [row("a", "good", True), row("a", "bad", False), row("b", "fine", True)]
    found = [tiny_bpe.decode(example["kl_input_ids"]) for example in encoded(tiny_bpe, KahnemanTversky(), rows)]
    pairs = zip(rows, (rows[2], rows[2], rows[0]), strict=True)
    assert found == [CHATML.render([*one["prompt"], *other["completion"]]).text for one, other in pairs]
    alone = encoded(tiny_bpe, KahnemanTversky(), ROWS[:1])
    assert alone[0]["kl_input_ids"] == alone[0]["kl_labels"] == [] and len(alone[0]["input_ids"])
    assert "1 of the first 1 rows have no answer to another prompt" in caplog.text


@pytest.mark.parametrize("padding_free", [True, False])
def test_what_has_no_mismatched_answer_does_not_count_in_the_baseline(
    tiny_llama: Path, tiny_bpe: Any, padding_free: bool
) -> None:
    reference, model = two_models(tiny_llama)
    stage = KahnemanTversky(beta=0.3)
    stage._reference = Reference(reference)
    examples = encoded(tiny_bpe, stage)
    for example in examples[1:]:
        example["kl_input_ids"] = example["kl_labels"] = []
    with torch.no_grad():
        logged = stage.compute_loss(
            model, stage.collate(examples=examples, padding_free=padding_free, processor=None)
        ).metrics["kl"]
        ids = torch.tensor([examples[0]["kl_input_ids"]])
        labels = torch.tensor(examples[0]["kl_labels"])[1:]
        means = []
        for one in (model, reference):
            tokens = one(input_ids=ids).logits[0, :-1].log_softmax(-1)
            means.append(sum(tokens[at, label] for at, label in enumerate(labels) if label != -100))
    assert logged.item() / 4 == pytest.approx(max(0.3 * (means[0] - means[1]).item(), 0), rel=1e-4, abs=1e-5)


def test_rewards_that_have_not_moved_are_not_right() -> None:
    """At the first step all rewards and the baseline are 0: no answer is told from any other."""
    from tunesmith_stage_kto import _metrics

    desirable = torch.tensor([True, False, True, False])
    zeros = torch.zeros(4)
    assert _metrics(zeros, zeros, desirable, torch.tensor(0.0))["rewards/accuracies"] == 0
    moved = torch.tensor([0.3, -0.1, 0.1, 0.5])
    assert _metrics(moved, zeros, desirable, torch.tensor(0.2))["rewards/accuracies"] == 2


def two_models(folder: Path) -> tuple[Any, Any]:
    """A model, and one that differs from it a little, to be trained."""
    model, reference = load_plain(folder), load_plain(folder)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=generator)
    return model, reference


def gradients(model: Any, loss: Any) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def trl_inputs(batch: dict[str, Any], kl: dict[str, Any] | None) -> dict[str, Any]:
    inputs = {"label": batch["desirable"]}
    for prefix, some in (("", batch), *((("KL_", kl),) if kl else ())):
        inputs |= {f"{prefix}{name}": some[name] for name in ("input_ids", "attention_mask")}
        inputs[f"{prefix}completion_mask"] = (some["labels"] != -100).long()
    return inputs


def logged_of(outputs: list[Any]) -> dict[str, float]:
    """What the trainer logs of several batches."""
    from tunesmith_trainer_transformers import sums

    total = sums.Sums()
    for output in outputs:
        total.add(output)
    return sums.means(total.take(), sum(output.num_items for output in outputs))


@pytest.mark.parametrize("padding_free", [True, False])
@pytest.mark.parametrize("loss", ["kto", "apo_zero_unpaired"])
@pytest.mark.parametrize("reversed_reference", [False, True])
def test_equals_trl(
    tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, loss: str, padding_free: bool, reversed_reference: bool
) -> None:
    """Loss, gradients and metrics; with the models exchanged, the baseline is on the other side of 0."""
    import datasets
    import trl

    weights = {"desirable_weight": 1.3, "undesirable_weight": 0.8}
    arguments = trl.KTOConfig(
        output_dir=str(tmp_path), use_cpu=True, report_to="none", beta=0.3, bf16=False, loss_type=loss, **weights
    )
    text = datasets.Dataset.from_dict({"prompt": ["a", "b"], "completion": ["c", "d"], "label": [True, False]})

    def models() -> Any:
        return reversed(two_models(tiny_llama)) if reversed_reference else two_models(tiny_llama)

    model, reference = models()
    trainer = trl.KTOTrainer(model, reference, args=arguments, train_dataset=text, processing_class=tiny_bpe)
    trainer.model.eval()
    stage = KahnemanTversky(loss=loss, beta=0.3, **weights)
    examples = encoded(tiny_bpe, stage)
    padded = stage.collate(examples=examples, padding_free=False, processor=None)
    expected = trainer._compute_loss(trainer.model, trl_inputs(padded, padded.get("kl")), False)
    metrics = {name: values[0] for name, values in trainer._metrics["eval"].items()}
    mine, other = models()
    stage._reference = Reference(other)
    output = stage.compute_loss(mine, stage.collate(examples=examples, padding_free=padding_free, processor=None))
    assert (output.loss / 4).item() == pytest.approx(expected.item(), rel=1e-5)
    logged = logged_of([output])
    for name in ("rewards/chosen", "rewards/rejected", "rewards/margins", "logps/chosen", "logps/rejected"):
        assert logged[name] == pytest.approx(metrics[name], rel=1e-4, abs=1e-4), name
    assert logged["kl"] == pytest.approx(0.3 * metrics["kl"], rel=1e-4, abs=1e-5)
    wanted = gradients(trainer.model, expected)
    scale = max(float(values.abs().max()) for values in wanted.values())
    for name, values in gradients(mine, output.loss / 4).items():
        torch.testing.assert_close(values, wanted[name], rtol=1e-3, atol=1e-5 * scale, msg=name)


def test_means_are_of_one_kind_of_answers(tiny_llama: Path, tiny_bpe: Any) -> None:
    """Batches with one desirable answer of four, and with none, count as many answers of a kind as they have."""
    stage = KahnemanTversky(loss="apo_zero_unpaired", beta=0.3)
    trained, reference = two_models(tiny_llama)
    stage._reference = Reference(reference)
    rows = [row("a", f"{word} tide", word in ("one", "six")) for word in WORDS]
    examples = encoded(tiny_bpe, stage, rows)
    alone = [
        stage.compute_loss(trained, stage.collate(examples=[some], padding_free=True, processor=None))
        for some in examples
    ]
    rewards = [
        float(next(v[0] for n in ("chosen", "rejected") if (v := one.metrics[f"rewards/{n}"])[1])) for one in alone
    ]
    parts = (examples[:4], examples[1:5], examples[5:])  # the answers 1, 2 and 3 twice
    outputs = [
        stage.compute_loss(trained, stage.collate(examples=part, padding_free=True, processor=None)) for part in parts
    ]
    chosen, rejected = [rewards[0], rewards[5]], [*rewards[1:4], *rewards[1:5], rewards[6]]
    expected = {"chosen": sum(chosen) / 2, "rejected": sum(rejected) / 8}
    logged = logged_of(outputs)
    for name, value in expected.items():
        assert logged[f"rewards/{name}"] == pytest.approx(value, rel=1e-4, abs=1e-6)
    assert logged["rewards/margins"] == pytest.approx(expected["chosen"] - expected["rejected"], rel=1e-4, abs=1e-6)
    assert not {"rewards/chosen", "rewards/margins"} & logged_of(outputs[1:2]).keys(), "a mean of nothing is not logged"


def test_loss_of_each_data_set(tiny_llama: Path, tiny_bpe: Any) -> None:
    stage = KahnemanTversky(loss="apo_zero_unpaired")
    trained, reference = two_models(tiny_llama)
    stage._reference = Reference(reference)
    examples = encoded(tiny_bpe, stage)
    names = ["tides", "whales", "tides", "tides"]
    named = [{**example, "dataset": name} for example, name in zip(examples, names, strict=True)]
    output = stage.compute_loss(trained, stage.collate(examples=named, padding_free=True, processor=None))
    for name in ("tides", "whales"):
        mine = [example for example, of in zip(examples, names, strict=True) if of == name]
        expected = stage.compute_loss(trained, stage.collate(examples=mine, padding_free=True, processor=None)).loss
        assert output.metrics[f"loss_{name}"].tolist() == pytest.approx([expected.item(), len(mine)], rel=1e-4)


def test_baseline_and_sides() -> None:
    """At the baseline the loss is a half on both sides; it falls for gains that the label asks for."""
    desirable = torch.tensor([True, False, True, False])
    losses = kto(torch.tensor([0.5, 0.5, 9.0, -9.0]), desirable, 1.0, torch.tensor(0.5))
    assert losses[:2].tolist() == [0.5, 0.5] and bool((losses[2:] < 1e-3).all())


def test_precomputed_reference(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    stage, live = KahnemanTversky(precompute_reference=True), KahnemanTversky()
    rows, (trained, reference) = encoded(tiny_bpe, stage), two_models(tiny_llama)
    job = TrainingJob(
        model=reference,
        processor=None,
        data=DatasetSplits(rows),
        output_dir=tmp_path,
        seed=0,
        precision="fp32",
        resume=False,
        collate=partial(stage.collate, processor=None),
        compute_loss=stage.compute_loss,
        build_optimizer=lambda **_: None,
        emit=lambda event: None,
    )
    data = stage.prepare(job=job, load=None).data.train
    live._reference = Reference(reference)
    batches = [
        stage.collate(examples=[some[index] for index in range(4)], padding_free=True, processor=None)
        for some in (data, rows)
    ]
    found, expected = stage.compute_loss(trained, batches[0]), live.compute_loss(trained, batches[1])
    torch.testing.assert_close(found.loss, expected.loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.metrics, expected.metrics, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("option", "value"), [("beta", 0.0), ("desirable_weight", -1.0), ("max_length", 1)])
def test_ranges(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"stage\.{option} cannot be {value}"):
        TestKahnemanTversky.make(**{option: value})


def test_the_desirable_answers_own_loss(tiny_llama: Path, tiny_bpe: Any) -> None:
    """What it adds is the mean log-probability per token of each desirable answer, by a plain softmax."""
    reference, model = two_models(tiny_llama)
    found, own = [], 0.0
    for alpha in (0.0, 0.4):
        stage = KahnemanTversky(sft_alpha=alpha)
        stage._reference = Reference(reference)
        examples = encoded(tiny_bpe, stage)
        with torch.no_grad():
            found.append(stage.compute_loss(model, stage.collate(examples=examples, padding_free=True, processor=None)))
    for example in examples:
        if example["label"]:
            labels = torch.tensor(example["labels"])[1:]
            with torch.no_grad():
                log_probs = (
                    model(input_ids=torch.tensor([example["input_ids"]])).logits[0, :-1].double().log_softmax(-1)
                )
            own -= log_probs[labels != -100].gather(1, labels[labels != -100][:, None]).mean().item()
    assert (found[1].loss - found[0].loss).item() == pytest.approx(0.4 * own, rel=1e-4)
    assert found[1].metrics["nll_loss"].tolist() == pytest.approx([own, 2.0], rel=1e-4)
    assert stage.traits.metrics["nll_loss"] is False and "nll_loss" not in KahnemanTversky().traits.metrics
