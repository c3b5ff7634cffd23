"""A model measured in training and afterwards, and what a run needs against what it was said to need."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import tunesmith
from tunesmith_library_estimates.own_memory import MAPPED, without_own_memory
from tunesmith_library_evaluating.comparing import compare
from tunesmith_library_evaluating.measuring import evaluate_with_base
from tunesmith_library_evaluating.writing import read
from tunesmith_library_testing.parts import logged, records
from tunesmith_library_testing.tiny import save_tiny_model

torch = pytest.importorskip("torch")


def overrides(folder: Path, model: Path, **more: Any) -> dict[str, Any]:
    """A short run on 30 conversations, of which 6 are held out and measured twice."""
    file = folder / "train.json"
    if not file.exists():
        rows = [{"instruction": f"Say {n}.", "output": f"The tide turns {n} times, and {2 * n}."} for n in range(30)]
        file.write_text(json.dumps(rows), encoding="utf-8")
    return {
        "model.path": str(model),
        "template": "chatml",
        "data": {"train": [str(file)], "val_size": 6, "cache": False},
        "trainer": {
            "max_steps": 4,
            "per_device_train_batch_size": 4,
            "learning_rate": 1e-2,
            "eval_strategy": "steps",
            "eval_steps": 2,
            "logging_steps": 1,
            "save_strategy": "no",
        },
        "precision": "fp32",
        **more,
    }


@pytest.mark.parametrize("through", ["model", pytest.param("engine", marks=pytest.mark.slow)])
def test_a_model_is_measured_in_training_as_it_is_afterwards(through: str, tiny_llama: Path, tmp_path: Path) -> None:
    """The perplexity of the held-out set is that of the loss that the loop computes; measuring changes no step."""
    evaluator = {"evaluator": {"perplexity": {"through": through}}, "trainer.eval_on_start": True}
    plain = tunesmith.train(None, overrides(tmp_path, tiny_llama, output_dir=str(tmp_path / "plain")))
    measured = tunesmith.train(None, overrides(tmp_path, tiny_llama, output_dir=str(tmp_path / "run"), **evaluator))
    assert logged(measured) == logged(plain)
    evaluations = [record for record in records(measured) if "eval_perplexity" in record]
    assert len(evaluations) >= 2
    for record in evaluations:
        assert record["eval_perplexity_loss"] == pytest.approx(record["eval_loss"], rel=1e-5)
        assert record["eval_perplexity"] == pytest.approx(math.exp(record["eval_loss"]), rel=1e-4)
    (afterwards,) = tunesmith.evaluate(measured)
    assert afterwards.metrics["validation"]["loss"].value == pytest.approx(evaluations[-1]["eval_loss"], rel=1e-5)
    assert afterwards.settings == {"through": through} and len(afterwards.records) == 6
    ((before, after),) = evaluate_with_base(measured)
    assert before.metrics["validation"]["loss"].value == pytest.approx(evaluations[0]["eval_loss"], rel=1e-5)
    assert after.metrics == afterwards.metrics
    assert (before.model["adapter"], after.model["adapter"]) == (None, str(measured))
    at_the_end = read(measured / "eval" / "perplexity" / "step-4")
    assert [it.paired and it.value for it in compare(at_the_end, after).differences if it.metric == "loss"] == [
        pytest.approx(0, abs=1e-5)
    ]


def peak(config: dict[str, Any]) -> float:
    """Bytes that a training step takes at most beside what was there before it, by PyTorch's allocator."""
    from torch.profiler import ProfilerActivity, profile
    from tunesmith_trainer_transformers.loop import Loop

    held, step = [], Loop.training_step

    def observed(self: Any, *arguments: Any, **options: Any) -> Any:
        if self.state.global_step != 1:  # the optimizer has its states then
            return step(self, *arguments, **options)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
            result = step(self, *arguments, **options)
        now = 0
        for event in seen.profiler.kineto_results.events():  # type: ignore[union-attr]
            if event.name() == "[memory]":
                now += event.nbytes()
                held.append(now)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "training_step", observed)
        tunesmith.train(None, config)
    return float(max(held))


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"precision": "bf16"},
        {"adapter": "full"},
        {"adapter": "full", "precision": "bf16"},
        {"adapter": "freeze"},
        {"trainer.gradient_checkpointing": True},
        {"quantizer": "hqq"},
        {"quantizer": "bitsandbytes", "precision": "bf16"},
        {"adapter": "full", "stage.loss_chunk_size": 128},
    ],
    ids=lambda more: ", ".join(f"{key}={value}" for key, value in more.items()) or "lora",
)
def test_memory_is_what_was_said(more: dict[str, Any], tmp_path: Path) -> None:
    """Sequences that are all as long as the longest may be: within 8 % of a step, a tenth where recomputed."""
    model = save_tiny_model(tmp_path / "model", architecture="qwen3", hidden_size=128, layers=4, vocab_size=4096)
    (tmp_path / "long.jsonl").write_text(
        "\n".join(json.dumps({"text": "whales sing " * 2000}) for _ in range(6)), encoding="utf-8"
    )
    config = {
        "model.path": str(model),
        "template": "chatml",
        "stage": {"name": "pretrain", "max_length": 256},
        "data": {"train": [str(tmp_path / "long.jsonl")], "cache": False},
        "trainer": {"max_steps": 3, "per_device_train_batch_size": 4, "save_strategy": "no"},
        "tracker": [],
        "precision": "fp32",
        "output_dir": str(tmp_path / "run"),
        **more,
    }
    estimate = without_own_memory(tunesmith.estimate(None, config))
    before = sum(estimate.bytes("forward").get(what, 0.0) for what in ("weights", "optimizer states", MAPPED))
    said = max(sum(estimate.bytes(phase).values()) for phase in ("forward", "backward")) - before
    assert said == pytest.approx(peak(config), rel=0.1 if "trainer.gradient_checkpointing" in more else 0.08)
