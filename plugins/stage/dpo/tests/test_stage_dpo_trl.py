"""Every loss of DPO against TRL's DPOTrainer on the same batch, or against its formula where TRL has none."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith_library_testing.parts import CHATML, load_plain
from tunesmith_library_training.reference import Reference
from tunesmith_stage_dpo import DirectPreference
from tunesmith_stage_dpo.losses import LOSSES, Ratios

LENGTHS = ((5, 9), (14, 3), (7, 7))  # tokens of the chosen and the rejected answer
BY_TRL = {
    "sigmoid": {},
    "hinge": {},
    "ipo": {},
    "robust": {"label_smoothing": 0.2},
    "bco_pair": {},
    "apo_zero": {},
    "apo_down": {},
    "exo_pair": {"label_smoothing": 0.1},
    "nca_pair": {},
    "sppo_hard": {},
}


def rows(pairs: int = 3) -> list[dict[str, Any]]:
    """Encoded pairs of random tokens, with prompts of 4, 5 and 6."""
    generator = torch.Generator().manual_seed(1)
    made = []
    for number, lengths in enumerate(LENGTHS[:pairs]):
        prompt = torch.randint(5, 250, (4 + number,), generator=generator).tolist()
        row = {}
        for name, length in zip(("chosen", "rejected"), lengths, strict=True):
            answer = torch.randint(5, 250, (length,), generator=generator).tolist()
            row |= {f"{name}_input_ids": prompt + answer, f"{name}_labels": [-100] * len(prompt) + answer}
        made.append(row)
    return made


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


def ours(folder: Path, pairs: int = 3, padding_free: bool = True, **options: Any) -> tuple[Any, Any]:
    """The mean loss of the pairs with its gradients, and the means of the metrics."""
    stage, (model, reference) = DirectPreference(**options, loss_chunk_size=5), two_models(folder)
    stage._reference = Reference(reference)
    batch = stage.collate(examples=rows(pairs), padding_free=padding_free, processor=None)
    output = stage.compute_loss(model=model, batch=batch)
    loss = output.loss / output.num_items
    metrics = {name: float(value) / pairs for name, value in output.metrics.items()}
    return (loss.item(), gradients(model, loss)), metrics


@pytest.fixture(scope="module")
def trainer(tiny_llama: Path, tiny_bpe: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    import datasets
    import trl

    folder = tmp_path_factory.mktemp("trl")
    arguments = trl.DPOConfig(output_dir=str(folder), use_cpu=True, report_to="none", beta=0.3, bf16=False)
    model, reference = two_models(tiny_llama)
    text = {"prompt": ["a", "b"], "chosen": ["c", "d"], "rejected": ["e", "f"]}
    return trl.DPOTrainer(
        model,
        reference,
        args=arguments,
        train_dataset=datasets.Dataset.from_dict(text),
        processing_class=tiny_bpe,
    )


def theirs(trainer: Any, pairs: int = 3, **settings: Any) -> tuple[Any, dict[str, float]]:
    """TRL's loss of the same pairs, with its gradients and metrics."""
    defaults = {"loss_types": ["sigmoid"], "loss_weights": [1.0], "label_smoothing": 0.0, "ld_alpha": None}
    for name, value in {**defaults, **settings}.items():
        assert hasattr(trainer, name)
        setattr(trainer, name, value)
    made = rows(pairs)
    batch = DirectPreference().collate(examples=made, padding_free=False, processor=None)
    inputs = {
        "input_ids": batch["input_ids"],
        "attention_mask": batch["attention_mask"],
        "completion_mask": (batch["labels"] != -100).long(),
    }
    trainer._metrics["eval"].clear()
    trainer.model.eval()
    loss = trainer._compute_loss(trainer.model, inputs, False)
    metrics = {name: values[0] for name, values in trainer._metrics["eval"].items()}
    return (loss.item(), gradients(trainer.model, loss)), metrics


def assert_same(found: tuple[Any, Any], expected: tuple[Any, Any]) -> None:
    (loss, gradient), metrics = found
    (expected_loss, expected_gradient), expected_metrics = expected
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert gradient.keys() == expected_gradient.keys()
    scale = max(float(values.abs().max()) for values in expected_gradient.values())
    for name, values in gradient.items():
        torch.testing.assert_close(values, expected_gradient[name], rtol=1e-3, atol=1e-5 * scale, msg=name)
    for name in metrics.keys() & expected_metrics.keys():
        assert metrics[name] == pytest.approx(expected_metrics[name], rel=1e-4, abs=1e-4), name


@pytest.mark.parametrize("loss", BY_TRL)
def test_equals_trl(tiny_llama: Path, trainer: Any, loss: str) -> None:
    """Loss and gradients of every weight, and the metrics under their names."""
    found = ours(tiny_llama, loss=loss, beta=0.3, **BY_TRL[loss])
    names = {"rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins", "logps/chosen"}
    expected = theirs(trainer, loss_types=[loss], **BY_TRL[loss])
    assert names <= found[1].keys() & expected[1].keys()
    assert_same(found, expected)


def test_length_desensitised_equals_trl(tiny_llama: Path, trainer: Any) -> None:
    assert_same(ours(tiny_llama, beta=0.3, ld_alpha=0.4), theirs(trainer, ld_alpha=0.4))


def test_with_sft_term_equals_trl(tiny_llama: Path, trainer: Any) -> None:
    """RPO: TRL weighs two losses, whose means agree on a batch of one pair."""
    expected = theirs(trainer, pairs=1, loss_types=["sigmoid", "sft"], loss_weights=[1.0, 0.7])
    assert_same(ours(tiny_llama, pairs=1, beta=0.3, rpo_alpha=0.7), expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_padding_changes_nothing(tiny_llama: Path, loss: str) -> None:
    options = {"loss": loss, "label_smoothing": 0.1 if loss == "exo_pair" else 0.0, "rpo_alpha": 0.5, "ld_alpha": 0.5}
    assert_same(ours(tiny_llama, **options), ours(tiny_llama, padding_free=False, **options))


def logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_formulas_that_trl_lacks() -> None:
    """Conservative DPO, and KTO's loss of a pair with the other side's mean, in Python's float64."""
    chosen, rejected, beta, epsilon = (1.5, -0.7), (0.4, 2.1), 0.3, 0.2
    ones = torch.ones(2)
    ratios = Ratios(torch.tensor(chosen), torch.tensor(rejected), ones, ones, beta, epsilon)
    z_chosen, z_rejected = max(sum(chosen) / 2, 0), max(sum(rejected) / 2, 0)
    conservative, by_kto = [], []
    for preferred, other in zip(chosen, rejected, strict=True):
        logit = beta * (preferred - other)
        conservative.append(-(1 - epsilon) * math.log(logistic(logit)) - epsilon * math.log(logistic(-logit)))
        sides = logistic(beta * (preferred - z_rejected)), logistic(beta * (z_chosen - other))
        by_kto.append(1 - sum(sides) / 2)
    assert LOSSES["sigmoid"](ratios).tolist() == pytest.approx(conservative, rel=1e-5)
    assert LOSSES["kto_pair"](ratios).tolist() == pytest.approx(by_kto, rel=1e-5)


def test_first_step_of_dpo_is_its_gradient(tiny_llama: Path, tiny_bpe: Any) -> None:
    """At the reference, DPO's gradient is -β/2 of that of log π(y_w) - log π(y_l) (equation after 7 of the paper)."""
    stage, model = DirectPreference(beta=0.4), load_plain(tiny_llama)
    stage._reference = Reference(load_plain(tiny_llama))
    chat = {"role": "assistant", "content": "yes"}, {"role": "assistant", "content": "no, not at all"}
    row = {"prompt": [{"role": "user", "content": "?"}], "chosen": [chat[0]], "rejected": [chat[1]]}
    columns = stage.encode(rows=[row], processor=tiny_bpe, template=CHATML)
    example = {name: values[0] for name, values in columns.items()}
    found = gradients(model, stage.compute_loss(model, stage.collate([example], True, None)).loss)
    difference = 0.0
    for sign, name in ((1, "chosen"), (-1, "rejected")):
        ids, labels = torch.tensor([example[f"{name}_input_ids"]]), torch.tensor([example[f"{name}_labels"]])
        count = int((labels[:, 1:] != -100).sum())
        difference = difference - sign * count * model(input_ids=ids, labels=labels).loss
    expected = gradients(model, -0.4 / 2 * difference)
    for name, values in found.items():
        torch.testing.assert_close(values, expected[name], rtol=1e-3, atol=1e-5, msg=name)


# ---- BCO beside it: LLaMA-Factory's `pref_bco_weight`, which TRL has not ---------------------------------------------


def reward(models: tuple[Any, Any], row: dict[str, Any], side: str, beta: float, *, per_token: bool) -> torch.Tensor:
    """β r of one answer in float64, from a plain softmax over its sequence alone."""
    ids, labels = torch.tensor([row[f"{side}_input_ids"]]), torch.tensor(row[f"{side}_labels"])[1:]
    trained = labels != -100
    sums = []
    for model in models:
        log_probs = model(input_ids=ids).logits[0, :-1].double().log_softmax(-1)
        sums.append(log_probs[trained].gather(1, labels[trained][:, None]).sum())
    return beta * (sums[0] - sums[1].detach()) / (trained.sum() if per_token else 1)


@pytest.mark.parametrize("loss", ["sigmoid", "ipo"])
def test_bco_beside_it(tiny_llama: Path, loss: str) -> None:
    """(pairs + w · BCO) / (1 + w), δ the mean reward of all batches that were learned from, this one included."""
    beta, weight, own_weight = 0.3, 0.7, 0.25
    models = two_models(tiny_llama)
    stage = DirectPreference(loss=loss, beta=beta, bco_weight=weight, rpo_alpha=own_weight)
    stage._reference = Reference(models[1])
    earlier, now = rows(2), rows(3)[1:]
    with torch.no_grad():  # an evaluation, whose rewards do not count
        before = stage.compute_loss(models[0], stage.collate(examples=earlier, padding_free=True, processor=None))
    stage.compute_loss(models[0], stage.collate(examples=earlier, padding_free=True, processor=None))
    output = stage.compute_loss(models[0], stage.collate(examples=now, padding_free=True, processor=None))

    def expected(some: list[dict[str, Any]], shift: float) -> tuple[Any, Any]:
        total: Any = 0.0
        classified: Any = 0.0
        for row in some:
            chosen, rejected = (
                reward(models, row, side, beta, per_token=loss == "ipo") for side in ("chosen", "rejected")
            )
            pair = -torch.nn.functional.logsigmoid(chosen - rejected)
            if loss == "ipo":
                pair = ((chosen - rejected) / beta - 1 / (2 * beta)) ** 2
            alone = -torch.sigmoid(chosen - shift).log() - torch.sigmoid(shift - rejected).log()
            labels = torch.tensor(row["chosen_labels"])[1:]
            log_probs = models[0](input_ids=torch.tensor([row["chosen_input_ids"]])).logits[0, :-1].log_softmax(-1)
            mean = log_probs[labels != -100].gather(1, labels[labels != -100][:, None]).mean()
            total = total + (pair + weight * alone) / (1 + weight) - own_weight * mean
            classified = classified + alone
        return total, classified

    with torch.no_grad():
        seen = [
            reward(models, row, side, beta, per_token=loss == "ipo").item()
            for row in [*earlier, *now]
            for side in ("chosen", "rejected")
        ]
    total, classified = expected(now, sum(seen) / len(seen))
    assert output.loss.item() == pytest.approx(total.item(), rel=1e-5)
    assert output.metrics["bco_loss"].item() == pytest.approx(classified.item(), rel=1e-5)
    assert before.loss.item() == pytest.approx(expected(earlier, 0.0)[0].item(), rel=1e-5)
    found, wanted = gradients(models[0], output.loss), gradients(models[0], total)
    scale = max(float(values.abs().max()) for values in wanted.values())
    for name, values in found.items():
        torch.testing.assert_close(values, wanted[name], rtol=1e-3, atol=1e-5 * scale, msg=name)


def test_the_mean_reward_goes_on_with_the_run(tiny_llama: Path, tmp_path: Path) -> None:
    from tunesmith.types import DatasetSplits, TrainingJob
    from tunesmith_library_training import checkpoints, remembering

    def prepared() -> tuple[DirectPreference, Any]:
        model, reference = two_models(tiny_llama)
        stage = DirectPreference(bco_weight=1.0, reference="m")
        nothing = {"build_optimizer": lambda **_: None, "emit": lambda event: None, "compute_loss": stage.compute_loss}
        data = DatasetSplits(rows(), {})
        job = TrainingJob(
            **{"model": model, "processor": None, "data": data, "output_dir": tmp_path, "seed": 0},
            **{"precision": "fp32", "resume": False, "collate": stage.collate, **nothing},
        )
        stage.prepare(job=job, load=lambda address, adapter=None: reference)
        return stage, model

    stage, model = prepared()
    batch = stage.collate(examples=rows(), padding_free=True, processor=None)
    stage.compute_loss(model, batch)
    checkpoints.write(tmp_path / "checkpoint-1", remembering.kept(model), lambda folder: None)
    again, loaded = prepared()
    remembering.restore(loaded, tmp_path / "checkpoint-1")
    assert again.compute_loss(loaded, batch).loss == stage.compute_loss(model, batch).loss
    fresh, other = prepared()
    fresh.compute_loss(other, batch)
    assert again._rewards == stage._rewards and again._rewards.count == 2 * fresh._rewards.count == 12
