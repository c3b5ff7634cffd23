"""SimPO and CPO against TRL's CPOTrainer, and the conformance suite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith.errors import ConfigError
from tunesmith_library_testing import StageSuite
from tunesmith_library_testing.parts import load_plain
from tunesmith_stage_simpo import SimplePreference


def answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


class TestSimplePreference(StageSuite):
    plugin = SimplePreference
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


class TestContrastivePreference(TestSimplePreference):
    options = {"loss": "cpo"}


def rows(pairs: int) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(1)
    made = []
    for lengths in ((5, 9), (14, 3), (7, 7))[:pairs]:
        row: dict[str, Any] = {}
        for name, length in zip(("chosen", "rejected"), lengths, strict=True):
            ids = torch.randint(5, 250, (length + 4,), generator=generator).tolist()
            row |= {f"{name}_input_ids": ids, f"{name}_labels": [-100] * 4 + ids[4:]}
        made.append(row)
    return made


def gradients(model: Any, loss: Any) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


CASES = {
    "simpo": (
        {"beta": 2.0, "gamma": 0.7},
        {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 0.7, "cpo_alpha": 0.0},
        3,
    ),
    "simpo, smoothed": (
        {"gamma": 0.5, "label_smoothing": 0.1},
        {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 0.5, "cpo_alpha": 0.0, "label_smoothing": 0.1},
        3,
    ),
    "cpo without its own loss": (
        {"loss": "cpo", "sft_alpha": 0.0},
        {"loss_type": "sigmoid", "beta": 0.1, "cpo_alpha": 0.0},
        3,
    ),
    "cpo": ({"loss": "cpo"}, {"loss_type": "sigmoid", "beta": 0.1, "cpo_alpha": 1.0}, 1),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("padding_free", [True, False])
def test_equals_trl(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, case: str, padding_free: bool) -> None:
    """Loss, gradients and metrics. CPO's own loss weighs tokens in TRL, not pairs: they agree on one pair."""
    import datasets
    from trl.experimental import cpo

    mine, theirs, pairs = CASES[case]
    text = datasets.Dataset.from_dict({"prompt": ["a"], "chosen": ["b"], "rejected": ["c"]})
    arguments = cpo.CPOConfig(output_dir=str(tmp_path), use_cpu=True, report_to="none", bf16=False, **theirs)
    trainer = cpo.CPOTrainer(load_plain(tiny_llama), args=arguments, train_dataset=text, processing_class=tiny_bpe)
    trainer.model.eval()
    stage, model = SimplePreference(**mine), load_plain(tiny_llama)
    padded = stage.collate(examples=rows(pairs), padding_free=False, processor=None)
    batch = {}
    for number, name in enumerate(("chosen", "rejected")):
        for column in ("input_ids", "labels", "attention_mask"):
            batch[f"{name}_{column}"] = padded[column].chunk(2)[number]
    loss, metrics = trainer.get_batch_loss_metrics(trainer.model, batch)
    expected = gradients(trainer.model, loss)
    output = stage.compute_loss(model, stage.collate(examples=rows(pairs), padding_free=padding_free, processor=None))
    assert (output.loss / pairs).item() == pytest.approx(loss.item(), rel=1e-5)
    for name in output.metrics.keys() - ({"nll_loss"} if not theirs["cpo_alpha"] else set()):
        assert float(output.metrics[name]) / pairs == pytest.approx(metrics[name], rel=1e-4, abs=1e-4), name
    for name, values in gradients(model, output.loss / pairs).items():
        torch.testing.assert_close(values, expected[name], rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize(
    ("option", "value"), [("beta", 0.0), ("sft_alpha", -1.0), ("label_smoothing", 0.7), ("max_length", 1)]
)
def test_ranges(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"stage\.{option} cannot be {value}"):
        TestSimplePreference.make(**{option: value})
