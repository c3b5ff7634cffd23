"""ORPO against TRL's ORPOTrainer, its formula in float64, and the conformance suite."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith.errors import ConfigError
from tunesmith_library_testing import StageSuite
from tunesmith_library_testing.parts import load_plain
from tunesmith_stage_orpo import OddsRatioPreference
from tunesmith_stage_orpo.loss import log_odds


def answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


class TestOddsRatioPreference(StageSuite):
    plugin = OddsRatioPreference
    rows = [
        {
            "prompt": [{"role": "user", "content": "Who counts the waves?"}],
            "chosen": answer("Nobody counts them twice."),
            "rejected": answer("I do."),
        },
        {
            "prompt": [{"role": "user", "content": "再见！"}],
            "chosen": answer("Good bye, 朋友."),
            "rejected": answer("The tide turns, and the whales sing."),
        },
    ]


def rows() -> list[dict[str, Any]]:
    """Encoded pairs; a prompt of one token, because TRL trains the prompt of the chosen answer too."""
    generator = torch.Generator().manual_seed(1)
    made = []
    for lengths in ((5, 9), (14, 3)):
        row: dict[str, Any] = {}
        for name, length in zip(("chosen", "rejected"), lengths, strict=True):
            ids = torch.randint(5, 250, (length + 1,), generator=generator).tolist()
            row |= {f"{name}_input_ids": ids, f"{name}_labels": [-100, *ids[1:]]}
        made.append(row)
    return made


def gradients(model: Any, loss: Any) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def test_equals_trl(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    """Loss, gradients and metrics, pair by pair: TRL's loss of a batch weighs tokens, not pairs."""
    import datasets
    from trl.experimental import orpo

    text = datasets.Dataset.from_dict({"prompt": ["a"], "chosen": ["b"], "rejected": ["c"]})
    arguments = orpo.ORPOConfig(output_dir=str(tmp_path), use_cpu=True, report_to="none", beta=0.3, bf16=False)
    model, stage = load_plain(tiny_llama), OddsRatioPreference(beta=0.3)
    trainer = orpo.ORPOTrainer(model, args=arguments, train_dataset=text, processing_class=tiny_bpe)
    trainer.model.eval()
    total, summed = 0.0, {}
    for row in rows():
        batch = {name: torch.tensor([values]) for name, values in row.items()}
        batch |= {f"{name}_attention_mask": torch.ones_like(batch[f"{name}_labels"]) for name in ("chosen", "rejected")}
        loss, metrics = trainer.get_batch_loss_metrics(trainer.model, batch)
        total = total + loss
        summed = {name: summed.get(name, 0.0) + value for name, value in metrics.items()}
    expected = gradients(trainer.model, total)
    output = stage.compute_loss(
        load_plain(tiny_llama), stage.collate(examples=rows(), padding_free=True, processor=None)
    )
    assert output.loss.item() == pytest.approx(total.item(), rel=1e-5)
    assert len(output.metrics.keys() & summed.keys()) == 9
    for name in output.metrics:
        assert float(output.metrics[name]) == pytest.approx(summed[name], rel=1e-4, abs=1e-5), name
    mine = load_plain(tiny_llama)
    found = gradients(
        mine, stage.compute_loss(mine, stage.collate(examples=rows(), padding_free=True, processor=None)).loss
    )
    for name, values in found.items():
        torch.testing.assert_close(values, expected[name], rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("value", [-1e-3, -0.1, -math.log(2), -3.0, -40.0])
def test_log_odds(value: float) -> None:
    probability = math.exp(value)
    assert log_odds(torch.tensor(value)).item() == pytest.approx(math.log(probability / -math.expm1(value)), rel=1e-5)


def test_log_odds_of_certainty_are_finite() -> None:
    certain = torch.zeros(1, requires_grad=True)
    log_odds(certain).backward()
    assert log_odds(certain).isfinite().all() and certain.grad.isfinite().all()


@pytest.mark.parametrize(("option", "value"), [("beta", -1.0), ("max_length", 1)])
def test_ranges(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"stage\.{option} cannot be {value}"):
        TestOddsRatioPreference.make(**{option: value})


def test_the_weight_of_the_answers_own_loss(tiny_llama: Path) -> None:
    """What it adds is the mean log-probability per token of a chosen answer, by a plain softmax."""
    model, batch = (
        load_plain(tiny_llama),
        OddsRatioPreference().collate(examples=rows(), padding_free=True, processor=None),
    )
    with torch.no_grad():
        paper, more = (OddsRatioPreference(sft_alpha=alpha).compute_loss(model, batch).loss for alpha in (1.0, 1.5))
        own = 0.0
        for row in rows():
            ids = torch.tensor([row["chosen_input_ids"]])
            log_probs = model(input_ids=ids).logits[0, :-1].double().log_softmax(-1)
            own -= log_probs.gather(1, ids[0, 1:, None]).mean().item()
    assert (more - paper).item() == pytest.approx(0.5 * own, rel=1e-4)
