"""The steps of a run whose forward passes are merged, beside those of one in which each is made: stage by stage."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tunesmith import hookimpl, plugin
from tunesmith.catalog import Catalog
from tunesmith.types import OptimizerSettings

torch = pytest.importorskip("torch")

STEPS, ACCUMULATED = 2, 4
PAIRS = ("dpo", "orpo", "simpo", "reward")
# name -> (options of the stage, options of the run)
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sft": ({"row_weights": True}, {}),
    "sft-packed": ({"packing": True, "max_length": 64}, {}),
    "sft-dft": ({}, {"loss": "dft"}),
    "sft-eaft": ({}, {"loss": "eaft"}),
    "pretrain": ({"max_length": 32}, {}),
    "dpo": ({"rpo_alpha": 0.5, "ld_alpha": 0.5}, {}),
    "dpo-ipo": ({"loss": "ipo", "precompute_reference": True}, {}),
    "orpo": ({}, {}),
    "simpo": ({}, {}),
    "reward": ({"center_coefficient": 0.01}, {}),
    "kto-apo": ({"loss": "apo_zero_unpaired", "sft_alpha": 0.5}, {}),
}
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "kto": ({}, {}),
    "dpo-kto": ({"loss": "kto_pair"}, {}),
    "dpo-bco": ({"bco_weight": 1.0}, {}),
}
QUICK = ("sft", "dpo")


def rows(stage: str, start: int) -> list[dict[str, Any]]:
    """Twelve examples of different lengths of the kind that a stage learns from."""
    found: list[dict[str, Any]] = []
    for number in range(start, start + 12):
        said = " ".join(["The tide turns", *["again"] * (number % 5), f"{number} times."])
        row: dict[str, Any] = {"instruction": f"Say {number}.", "output": said, "weight": 1 + number % 3}
        if stage == "pretrain":
            row = {"text": said}
        elif stage in PAIRS:
            row = {"instruction": row["instruction"], "chosen": said, "rejected": f"whale {number}"}
        elif stage == "kto":
            row = {"instruction": row["instruction"], "output": said, "kto_tag": number % 2 == 0}
        found.append(row)
    return found


@plugin
class Noting:
    """SGD that notes the gradients of each step."""

    seen: ClassVar[list[dict[str, Any]]] = []

    @hookimpl
    def build_optimizer(self, model: Any, settings: OptimizerSettings) -> Any:
        trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        seen = type(self).seen

        class Optimizer(torch.optim.SGD):
            def step(self, closure: Any = None) -> None:
                seen.append({name: w.grad.double() for name, w in trained.items() if w.grad is not None})
                super().step(closure)

        return Optimizer(list(trained.values()), lr=settings.learning_rate)


def trained(case: str, model: Path, folder: Path, merge: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The gradients and the metrics of each step of a run on two data sets."""
    import tunesmith
    from tunesmith_library_testing.parts import records

    options, more = {**CASES, **REFUSED}[case]
    stage = case.partition("-")[0]
    for number in range(2):
        (folder / f"{number}.json").write_text(json.dumps(rows(stage, 12 * number)))
    form = "text" if stage == "pretrain" else "alpaca"
    config: dict[str, Any] = {
        "model": {"path": str(model)},
        "template": "chatml",
        "data": {
            "train": [{"path": str(folder / f"{number}.json"), "format": form} for number in range(2)],
            "cache": False,
        },
        "stage": {"name": stage, **options},
        "adapter": "full",
        "optimizer": "noting",
        "tracker": ["jsonl"],
        "precision": "fp32",
        "output_dir": str(folder / str(merge)),
        "trainer": {
            **{"max_steps": STEPS, "per_device_train_batch_size": 1, "gradient_accumulation_steps": ACCUMULATED},
            **{"learning_rate": 0.1, "warmup_steps": 0, "logging_steps": 1, "max_grad_norm": 0},
            **{"save_strategy": "no", "merge_accumulation": merge},
        },
        **more,
    }
    Noting.seen.clear()
    found = Catalog.discover().entries()
    run = tunesmith.train(config, catalog=Catalog([*found, *Catalog.of({"optimizer.noting": Noting}).entries()]))
    return list(Noting.seen), records(run)


@pytest.mark.parametrize("case", [c if c in QUICK else pytest.param(c, marks=pytest.mark.slow) for c in CASES])
def test_gradients_and_metrics(case: str, tiny_llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of the first step to 1e-6 of the largest gradient; of the second what rounding has moved."""
    caplog.set_level(logging.INFO, "tunesmith")
    (alone, said), (merged, told) = (trained(case, tiny_llama, tmp_path, merge) for merge in (False, "auto"))
    assert "micro-batches: merged" in caplog.text
    assert len(alone) == len(merged) == STEPS
    for tolerance, first, second in zip((1e-6, 1e-5), alone, merged, strict=True):
        largest = max(float(gradient.abs().max()) for gradient in first.values())
        assert largest > 0 and first.keys() == second.keys()
        assert max(float((first[name] - second[name]).abs().max()) for name in first) <= tolerance * largest
    for before, after in zip(said, told, strict=True):
        expected = {n: v for n, v in before.items() if isinstance(v, int | float) and "second" not in n and n != "time"}
        assert {name: after.get(name) for name in expected} == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("case", REFUSED)
def test_losses_of_a_whole_batch_stay(
    case: str, tiny_llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tunesmith")
    trained(case, tiny_llama, tmp_path, "auto")
    assert (
        f"micro-batches: not merged (stage={case.partition('-')[0]} does not say that its loss is the sum"
        in caplog.text
    )
