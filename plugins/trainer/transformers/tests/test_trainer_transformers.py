"""The training loop against a hand-written one, and against itself interrupted, resumed, and on two processes."""

from __future__ import annotations

import itertools
import json
import logging
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith.keys import Key
from tunesmith.types import DatasetSplits, Evaluated, RunStarted, Saved, StepEnded, TrainingJob
from tunesmith.validate import structured
from tunesmith_library_testing import TrainerSuite
from tunesmith_library_testing.jobs import Shared, difference, drawn, make_job, saved_weights, trained_weights
from tunesmith_library_testing.parts import StubPlan, collate, compute_loss, load_plain
from tunesmith_library_training import checkpoints
from tunesmith_trainer_transformers import Transformers


class TestTransformers(TrainerSuite):
    plugin = Transformers


# ---- a job ----------------------------------------------------------------------------------------------------------

SHORT = {"max_steps": 6, "per_device_train_batch_size": 2, "padding_free": False, "logging_steps": 1, "warmup_steps": 2}


# ---- the loop's arithmetic ------------------------------------------------------------------------------------------


def hand_written(model: Any, rows: list[Any], *, steps: int, batch: int, warmup: int) -> list[Any]:
    """AdamW with a cosine schedule on the token mean of consecutive examples, in plain torch.

    Returns: the sum of the loss and the number of trained tokens of each step.
    """
    import torch

    decayed = [weight for weight in model.parameters() if weight.ndim > 1]
    others = [weight for weight in model.parameters() if weight.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    losses = []
    model.train()
    for step in range(steps):
        rate = step / warmup if step < warmup else 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / (steps - warmup))
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * rate
        total, items = torch.zeros(()), 0.0
        for row in rows[step * batch : (step + 1) * batch]:
            output = compute_loss(model, collate([row]))
            total, items = total + output.loss, items + output.num_items
        optimizer.zero_grad()
        (total / items).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        losses.append((total.item(), items))
    return losses


ARITHMETIC = {
    **SHORT,
    "max_steps": 3,
    "train_sampling_strategy": "sequential",
    "learning_rate": 1e-3,
    "weight_decay": 0.1,
    "max_grad_norm": 0.5,
    "optim": "adamw_torch",
}


@pytest.mark.parametrize("padding_free", [False, True])
@pytest.mark.parametrize(("size", "accumulated"), [(4, 1), (1, 4), (2, 2)])
def test_equals_a_hand_written_loop(
    tiny_llama: Path, tmp_path: Path, size: int, accumulated: int, padding_free: bool
) -> None:
    """However four examples are split over forward passes, weights and losses are those of plain torch."""
    job, told = make_job(tiny_llama, tmp_path)
    reference = load_plain(tiny_llama)
    losses = hand_written(reference, drawn(15), steps=3, batch=4, warmup=2)
    options = {
        **ARITHMETIC,
        "per_device_train_batch_size": size,
        "gradient_accumulation_steps": accumulated,
        "padding_free": padding_free,
    }
    assert Transformers(**options).fit(job)
    assert difference(trained_weights(job.model), trained_weights(reference)) < 2e-5
    logged = [event.metrics["loss"] for event in told if isinstance(event, StepEnded)]
    assert logged == pytest.approx([total / items for total, items in losses], rel=1e-5)


def test_logs_means_over_items(tiny_llama: Path, tmp_path: Path) -> None:
    """Over several steps, too, the logged loss and the stage's metrics are sums over sums, not means of means."""

    def with_metric(model: Any, batch: dict[str, Any]) -> Any:
        import dataclasses

        import torch

        return dataclasses.replace(compute_loss(model, batch), metrics={"three": torch.tensor(3 * batch["num_items"])})

    job, told = make_job(tiny_llama, tmp_path, compute_loss=with_metric)
    losses = hand_written(load_plain(tiny_llama), drawn(15), steps=3, batch=4, warmup=2)
    options = {**ARITHMETIC, "per_device_train_batch_size": 4, "logging_steps": 3, "logging_first_step": False}
    Transformers(**options).fit(job)
    logged = [event.metrics for event in told if isinstance(event, StepEnded)]
    assert logged[:2] == [{}, {}]
    assert logged[2]["loss"] == pytest.approx(sum(t for t, _ in losses) / sum(n for _, n in losses), rel=1e-5)
    assert logged[2]["three"] == pytest.approx(3.0)
    assert {"learning_rate", "grad_norm", "tokens_per_second", "trained_tokens_per_second"} <= logged[2].keys()
    assert logged[2]["num_input_tokens_seen"] == sum(len(example["input_ids"]) for example in drawn(15)[:12])


def test_trained_tokens_are_counted_whatever_they_weigh() -> None:
    from tunesmith_library_training.batches import collate
    from tunesmith_trainer_transformers.batches import Collator

    example = {"input_ids": [5, 6, 7, 8], "labels": [5, -100, 7, 8], "weights": [1.0, 0.0, 3.0, 0.25]}
    for padding_free in (True, False):
        batch = Collator(collate, padding_free)([example, {**example, "labels": [-100, 6, 7, 8]}])
        assert (batch["num_items"], batch["num_trained"], batch["num_tokens"]) == (6.5, 5.0, 8.0)


def sides(model: Any, batch: dict[str, Any]) -> Any:
    """Metrics with denominators of their own: the mean first token of sequences whose first token is odd, and even."""
    import dataclasses

    import torch

    first = batch["input_ids"][:, 0].float()
    found = {
        name: torch.stack([first[first % 2 == rest].sum(), (first % 2 == rest).sum().float()])
        for name, rest in (("even", 0), ("odd", 1))
    }
    present = {f"loss_{name}": value for name, value in found.items() if value[1]}  # some batches lack one
    metrics = {**found, "apart": torch.stack([found["odd"], found["even"]]), **present}
    return dataclasses.replace(compute_loss(model, batch), metrics=metrics)


def means_of_sides(rows: list[Any]) -> dict[str, float]:
    firsts = [row["input_ids"][0] for row in rows]
    parts = {name: [value for value in firsts if value % 2 == rest] for name, rest in (("even", 0), ("odd", 1))}
    means = {name: sum(values) / len(values) for name, values in parts.items() if values}
    apart = {"apart": means["odd"] - means["even"]} if len(means) == 2 else {}
    return {**means, **apart, **{f"loss_{name}": mean for name, mean in means.items()}}


@pytest.mark.parametrize("logging_steps", [1, 3])
def test_metrics_with_their_own_denominators(tiny_llama: Path, tmp_path: Path, logging_steps: int) -> None:
    """Means over what they are about, in training and evaluation; a mean of nothing is not logged."""
    rows = drawn(15)
    job, told = make_job(tiny_llama, tmp_path, compute_loss=sides, data=DatasetSplits(rows, {"held": drawn(5, seed=3)}))
    options = {**ARITHMETIC, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "padding_free": False}
    changes = {"logging_steps": logging_steps, "logging_first_step": False, "eval_strategy": "steps", "eval_steps": 3}
    Transformers(**{**options, **changes}).fit(job)
    names = {"even", "odd", "apart", "loss_even", "loss_odd"}
    logged = [event.metrics for event in told if isinstance(event, StepEnded) and "loss" in event.metrics]
    for number, metrics in enumerate(logged):
        expected = means_of_sides(rows[number * 4 * logging_steps : (number + 1) * 4 * logging_steps])
        assert {name: metrics[name] for name in names & metrics.keys()} == pytest.approx(expected)
    (held,) = [event.metrics for event in told if isinstance(event, Evaluated)]
    expected = {f"eval_held_{name}": value for name, value in means_of_sides(drawn(5, seed=3)).items()}
    assert {name: held[name] for name in expected} == pytest.approx(expected)


def test_totals_of_processes_with_other_names() -> None:
    from tunesmith_trainer_transformers.sums import joined, means

    totals = joined([{"loss": [6.0], "loss_a": [2.0, 1.0]}, {"loss": [2.0], "loss_b": [3.0, 2.0], "none": [0.0, 0.0]}])
    assert totals == {"loss": [8.0], "loss_a": [2.0, 1.0], "loss_b": [3.0, 2.0], "none": [0.0, 0.0]}
    assert means(totals, 4.0) == {"loss": 2.0, "loss_a": 2.0, "loss_b": 1.5}


def test_evaluates_each_example_once(tiny_llama: Path, tmp_path: Path) -> None:
    """The loss of a named set is its token mean, whatever the batches; evaluating does not change the training."""
    import torch

    held_out = {"short": drawn(5, seed=1), "long": drawn(3, seed=2)}
    job, told = make_job(tiny_llama, tmp_path / "with", dropout=0.1)
    plain = make_job(tiny_llama, tmp_path / "without", dropout=0.1)[0]
    changed = DatasetSplits(job.data.train, held_out)
    job = TrainingJob(**{**vars(job), "data": changed})
    Transformers(**SHORT, eval_strategy="steps", eval_steps=2, per_device_eval_batch_size=2).fit(job)
    Transformers(**SHORT).fit(plain)
    assert difference(trained_weights(job.model), trained_weights(plain.model)) == 0
    evaluations = [event for event in told if isinstance(event, Evaluated)]
    assert [event.step for event in evaluations] == [2, 4, 6]
    job.model.eval()
    for name, rows in held_out.items():
        with torch.no_grad():
            outputs = [compute_loss(job.model, collate([row])) for row in rows]
        mean = sum(float(output.loss) for output in outputs) / sum(output.num_items for output in outputs)
        assert evaluations[-1].metrics[f"eval_{name}_loss"] == pytest.approx(mean, rel=1e-5)
    assert "eval_loss" not in evaluations[-1].metrics


def test_evaluation_splits_over_processes() -> None:
    """Each example is counted on one process only, and all have the same number of batches."""
    from tunesmith_trainer_transformers.batches import Collator, evaluation_batches

    for shares in (1, 2, 3, 7):
        seen, numbers = [], set()
        for share in range(shares):
            kind = {"share": share, "shares": shares, "batch_size": 2, "num_workers": 0, "pin": False}
            batches = list(evaluation_batches(drawn(9), Collator(collate, False), **kind))
            numbers.add(len(batches))
            seen += [batch["num_items"] for batch, counts in batches if counts]
        assert len(numbers) == 1
        assert sum(seen) == collate(drawn(9))["num_items"]


def test_bf16_computes_in_bf16(tiny_llama: Path, tmp_path: Path) -> None:
    """In bf16, logits are bfloat16 and weights stay float32; the losses are near those of fp32."""
    import torch

    types = set()

    def watched(model: Any, batch: dict[str, Any]) -> Any:
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        types.add(model(**inputs).logits.dtype)
        return compute_loss(model, batch)

    exact, exactly = make_job(tiny_llama, tmp_path / "fp32")
    rough, roughly = make_job(tiny_llama, tmp_path / "bf16", precision="bf16", compute_loss=watched)
    for job in (exact, rough):
        Transformers(**SHORT).fit(job)
    assert types == {torch.bfloat16}
    assert {weight.dtype for weight in rough.model.parameters()} == {torch.float32}
    losses = [[event.metrics["loss"] for event in told if isinstance(event, StepEnded)] for told in (exactly, roughly)]
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=2e-2)


def test_evaluations_leave_training_as_it_is(tiny_llama: Path, tmp_path: Path) -> None:
    """In bf16, weights are cast anew at each step, also after an evaluation."""
    evaluated, _ = make_job(
        tiny_llama, tmp_path / "evaluated", precision="bf16", data=DatasetSplits(drawn(15), {"held": drawn(3)})
    )
    alone, _ = make_job(tiny_llama, tmp_path / "alone", precision="bf16")
    Transformers(**SHORT, eval_steps=2).fit(evaluated)
    Transformers(**SHORT).fit(alone)
    assert difference(trained_weights(evaluated.model), trained_weights(alone.model)) == 0


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_gpu_trains_as_the_cpu(tiny_llama: Path, tmp_path: Path, precision: str) -> None:
    """The same job on a GPU gives the losses that the CPU gives, within the precision."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    losses = []
    for name, use_cpu, numbers in (("cpu", True, "fp32"), ("gpu", False, precision)):
        job, told = make_job(tiny_llama, tmp_path / name, precision=numbers)
        Transformers(**SHORT, use_cpu=use_cpu).fit(job)
        losses.append([event.metrics["loss"] for event in told if isinstance(event, StepEnded)])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4 if precision == "fp32" else 2e-2)


def test_gradient_checkpointing_changes_no_number(tiny_llama: Path, tmp_path: Path) -> None:
    """Gradient checkpointing, with LoRA, gives the same weights; on a CPU there is nowhere to move anything."""
    jobs = [make_job(tiny_llama, tmp_path / str(number), lora=True)[0] for number in range(3)]
    for job, chosen in zip(jobs, (False, True, "offload"), strict=True):
        Transformers(**SHORT, gradient_checkpointing=chosen, use_cpu=True).fit(job)
    plain, computed, moved = (trained_weights(job.model) for job in jobs)
    assert difference(plain, computed) < 1e-7
    assert difference(computed, moved) == 0


@pytest.mark.parametrize("total", [2**40, 2**19])
def test_activations_are_computed_again_where_memory_is_short(
    total: int, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What auto decides is what the loop does, is said once, and changes no number."""
    from transformers.modeling_layers import GradientCheckpointingLayer
    from tunesmith_library_estimates import room

    monkeypatch.setattr(room, "of_host", lambda processes=1: room.Room(total, 1.0))
    monkeypatch.setattr("tunesmith_trainer_transformers.memory.of_host", room.of_host)
    caplog.set_level(logging.INFO, logger="tunesmith")
    job, _ = make_job(tiny_llama, tmp_path / "auto", lora=True)
    plain, _ = make_job(tiny_llama, tmp_path / "plain", lora=True)
    Transformers(**SHORT, use_cpu=True).fit(job)
    layers = [module for module in job.model.modules() if isinstance(module, GradientCheckpointingLayer)]
    assert {layer.gradient_checkpointing for layer in layers} == {total == 2**19}
    said = [record.getMessage() for record in caplog.records if record.getMessage().startswith("activations: ")]
    assert len(said) == 1 and ("computed again" in said[0]) == (total == 2**19)
    Transformers(**SHORT, gradient_checkpointing=False, use_cpu=True).fit(plain)
    assert difference(trained_weights(job.model), trained_weights(plain.model)) == 0


def test_inputs_of_layers_are_kept_on_the_host(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `offload` each layer's input is copied as it is saved, and its gradients are those of plain checkpointing.

    Stands in for the host's pinned memory: torch's hook for it, on the CPU, where a copy is no other memory.
    """
    import torch
    import transformers.modeling_utils
    from tunesmith_trainer_transformers import arguments

    copied: list[torch.Size] = []

    class Copying(torch.autograd.graph.saved_tensors_hooks):
        def __init__(self, **options: Any) -> None:
            assert options["pin_memory"] is True

            def pack(tensor: torch.Tensor) -> torch.Tensor:
                if tensor.numel():  # torch 2.9 keeps an empty one beside it
                    copied.append(tensor.shape)
                return tensor.clone()

            super().__init__(pack, lambda tensor: tensor)

    monkeypatch.setattr(transformers.modeling_utils, "save_on_cpu", Copying)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    passed = arguments._checkpointing(Transformers(gradient_checkpointing="offload"))
    assert passed == {"use_reentrant": False, "offload": True}
    gradients = []
    for offload in (False, True):
        model = load_plain(tiny_llama).train()
        enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
        enable({"use_reentrant": False}, offload=offload)
        model(input_ids=torch.arange(5, 25)[None], use_cache=False).logits.logsumexp(-1).sum().backward()
        gradients.append({name: weight.grad for name, weight in model.named_parameters()})
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])
    assert copied == [torch.Size((1, 20, model.config.hidden_size))] * model.config.num_hidden_layers


@pytest.mark.gpu
def test_offloaded_checkpoints_take_no_memory_of_the_gpu(tiny_llama: Path, tmp_path: Path) -> None:
    """The weights are those of plain checkpointing to the bit, and the layers' inputs are not on the GPU."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    found = []
    for chosen in (True, "offload"):
        job, _ = make_job(tiny_llama, tmp_path / str(chosen))
        Transformers(**SHORT, gradient_checkpointing=chosen).fit(job)
        found.append({name: weight.cpu() for name, weight in trained_weights(job.model).items()})
    assert difference(*found) == 0
    kept = []
    for offload in (False, True):
        model = load_plain(tiny_llama).cuda().train()
        enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
        enable({"use_reentrant": False}, offload=offload)
        ids = torch.arange(5, 250, device="cuda").repeat(64, 1)
        before = torch.cuda.memory_allocated()
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
        kept.append(torch.cuda.memory_allocated() - before)
        del hidden
    inputs = 64 * 245 * model.config.hidden_size * 4
    assert kept[0] - kept[1] >= (model.config.num_hidden_layers - 1) * inputs


# ---- what is written ------------------------------------------------------------------------------------------------


def test_saves_a_clean_result(tiny_llama: Path, tmp_path: Path) -> None:
    """The result is safetensors, loads elsewhere, and keeps the cache on; old checkpoints are gone."""
    job, told = make_job(tiny_llama, tmp_path)
    Transformers(**SHORT, save_steps=2, save_total_limit=2).fit(job)
    assert sorted(folder.name for folder in tmp_path.glob("checkpoint-*")) == ["checkpoint-4", "checkpoint-6"]
    assert json.loads((tmp_path / "config.json").read_text()).get("use_cache", True) is True
    assert not [*tmp_path.glob("*.bin"), *tmp_path.glob("*.pt"), *tmp_path.glob(".*")]
    saved = [(event.step, event.path.name) for event in told if isinstance(event, Saved)]
    assert saved == [(2, "checkpoint-2"), (4, "checkpoint-4"), (6, "checkpoint-6"), (6, tmp_path.name)]


def test_best_model(tiny_llama: Path, tmp_path: Path) -> None:
    """load_best_model_at_end saves the weights of the lowest evaluation loss, whose checkpoint is kept."""
    job, told = make_job(tiny_llama, tmp_path)
    job = TrainingJob(**{**vars(job), "data": DatasetSplits(job.data.train, {"held": drawn(4, seed=3)})})
    options = {**SHORT, "learning_rate": 0.1, "warmup_steps": 0, "save_total_limit": 1}
    frequent = {"eval_strategy": "steps", "eval_steps": 1, "save_steps": 1, "load_best_model_at_end": True}
    Transformers(**{**options, **frequent}).fit(job)
    losses = {event.step: event.metrics["eval_loss"] for event in told if isinstance(event, Evaluated)}
    best = min(losses, key=losses.__getitem__)
    assert best != 6, "the test needs a run that gets worse"
    assert difference(saved_weights(tmp_path), saved_weights(tmp_path / f"checkpoint-{best}")) == 0


EVERY_STEP = {"eval_strategy": "steps", "eval_steps": 1, "save_steps": 1}
WORSENING = {**SHORT, "max_steps": 20, "learning_rate": 0.1, "warmup_steps": 0, "lr_scheduler_type": "constant"}


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_early_stopping(lora: bool, tiny_llama: Path, tmp_path: Path) -> None:
    """After two evaluations without a lower loss the run ends as finished, and its result is the best checkpoint."""
    job, told = make_job(tiny_llama, tmp_path, lora=lora)
    job = TrainingJob(**{**vars(job), "data": DatasetSplits(job.data.train, {"held": drawn(4, seed=3)})})
    patience = {"early_stopping_patience": 2, "load_best_model_at_end": True, "save_total_limit": 1}
    assert Transformers(**{**WORSENING, **EVERY_STEP, **patience}).fit(job) is True
    losses = [event.metrics["eval_loss"] for event in told if isinstance(event, Evaluated)]
    best = losses.index(min(losses))
    assert len(losses) == best + 3 < 20
    assert told[-1].status == "finished"
    assert difference(saved_weights(tmp_path), saved_weights(tmp_path / f"checkpoint-{best + 1}")) == 0


def test_early_stopping_goes_on_counting_when_resumed(tiny_llama: Path, tmp_path: Path) -> None:
    """Interrupted between two evaluations without gain, it stops where it would have stopped."""

    def run(folder: Path, interrupt_at: int = 0, **changes: Any) -> list[Any]:
        job, told = make_job(tiny_llama, folder, **changes)

        def emit(event: Any) -> None:
            told.append(event)
            if isinstance(event, Evaluated) and event.step == interrupt_at:
                os.kill(os.getpid(), signal.SIGINT)

        held = DatasetSplits(job.data.train, {"held": drawn(4, seed=3)})
        job = TrainingJob(**{**vars(job), "data": held, "emit": emit})
        Transformers(**{**WORSENING, **EVERY_STEP, "early_stopping_patience": 3}).fit(job)
        return told

    whole = [event.step for event in run(tmp_path / "whole") if isinstance(event, Evaluated)]
    first = run(tmp_path / "cut", interrupt_at=whole[-2])
    assert first[-1].status == "interrupted"
    steps = [event.step for event in run(tmp_path / "cut", resume=True) if isinstance(event, Evaluated)]
    assert steps == [whole[-1] + 1], "the step that was interrupted was not evaluated, the next one was"


def test_metrics_of_each_evaluation_set(tiny_llama: Path, tmp_path: Path) -> None:
    """The stage's metrics come under each set's name; the best model may be chosen by one of them."""
    job, told = make_job(tiny_llama, tmp_path)

    def counting(model: Any, batch: dict[str, Any]) -> Any:
        import torch
        from tunesmith.types import LossOutput

        output = compute_loss(model, batch)
        return LossOutput(output.loss, output.num_items, {"accuracy": torch.tensor(batch["num_items"] / 4)})

    parts = {**vars(job), "compute_loss": counting}
    one, two = ({name: drawn(3, seed=3) for name in names} for names in (("a",), ("a", "b")))
    metrics = []
    for held, asked in ((one, "accuracy"), (two, "b_accuracy")):
        told.clear()
        job = TrainingJob(**{**parts, "data": DatasetSplits(drawn(8), held)})
        Transformers(**{**SHORT, **EVERY_STEP, "max_steps": 1}, metric_for_best_model=asked).fit(job)
        metrics += [event.metrics for event in told if isinstance(event, Evaluated)]
    assert metrics[0]["eval_accuracy"] == metrics[0]["eval_a_accuracy"] == pytest.approx(0.25)
    assert set(metrics[1]) == {"eval_a_accuracy", "eval_a_loss", "eval_b_accuracy", "eval_b_loss"}
    with pytest.raises(TunesmithError, match=r"metric_for_best_model=accuracy is unknown[\s\S]*a_accuracy"):
        Transformers(**{**SHORT, **EVERY_STEP}, metric_for_best_model="accuracy").fit(job)


def test_trained_float32_modules_over_a_bf16_model(tiny_llama: Path, tmp_path: Path) -> None:
    """The look for leaks computes as the training does: here with an output layer of other numbers than the rest."""
    import torch

    job, _ = make_job(tiny_llama, tmp_path, precision="bf16")
    job.model.to(torch.bfloat16).get_output_embeddings().float()
    assert Transformers(**{**SHORT, "padding_free": True}).fit(job) is True


def test_early_stopping_without_evaluation_data(tiny_llama: Path, tmp_path: Path) -> None:
    job, _ = make_job(tiny_llama, tmp_path)
    with pytest.raises(TunesmithError, match="early_stopping_patience needs evaluation data"):
        Transformers(**SHORT, early_stopping_patience=2).fit(job)


def test_plateau_schedule_follows_the_evaluation_loss(tiny_llama: Path, tmp_path: Path) -> None:
    """When the evaluation loss no longer falls, the learning rate does."""
    job, told = make_job(tiny_llama, tmp_path)
    job = TrainingJob(**{**vars(job), "data": DatasetSplits(job.data.train, {"held": drawn(4, seed=3)})})
    options = {**SHORT, "learning_rate": 0.1, "lr_scheduler_type": "reduce_lr_on_plateau", "warmup_steps": 0}
    patience = {"lr_scheduler_kwargs": {"patience": 0}, "eval_strategy": "steps", "eval_steps": 1}
    Transformers(**{**options, **patience}).fit(job)
    rates = [event.metrics["learning_rate"] for event in told if isinstance(event, StepEnded)]
    losses = [event.metrics["eval_loss"] for event in told if isinstance(event, Evaluated)]
    assert rates[0] == 0.1 and rates[-1] < 0.1
    worse = [now > min(losses[:number]) for number, now in enumerate(losses) if number]
    assert [later < rate for rate, later in itertools.pairwise(rates[1:])] == worse[:-1]


@pytest.mark.parametrize(
    ("architecture", "config"),
    [("lfm2", {"layer_types": ["conv", "full_attention"]}), ("mamba", {"state_size": 8})],
)
def test_a_model_that_carries_a_state_is_trained_on_padded_batches(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, architecture: str, config: dict[str, Any]
) -> None:
    """The loss is that of each sequence alone, though batches without padding were asked for. A short convolution
    leaks so little that it is easily overlooked."""
    from tunesmith_library_testing.tiny import save_tiny_model

    job, told = make_job(save_tiny_model(tmp_path / "model", architecture=architecture, **config), tmp_path / "run")
    rows = [job.data.train[number] for number in range(3)]
    losses = [compute_loss(job.model, collate([row])) for row in rows]
    expected = sum(float(loss.loss) for loss in losses) / sum(float(loss.num_items) for loss in losses)
    options = {"max_steps": 1, "per_device_train_batch_size": 3, "train_sampling_strategy": "sequential"}
    with caplog.at_level(logging.INFO, "tunesmith"):
        Transformers(**{**SHORT, **options, "padding_free": True}).fit(job)
    (loss,) = (event.metrics["loss"] for event in told if isinstance(event, StepEnded))
    assert loss == pytest.approx(expected, abs=1e-5)
    assert caplog.text.count("batches: padded (") == 1 and "would see each other" in caplog.text


def test_a_checkpoint_with_other_names_is_refused(tmp_path: Path) -> None:
    """Names that the model does not have would be passed over, and half the weights stay as they were."""
    from tunesmith_library_testing.tiny import save_published_model

    folder = save_published_model(tmp_path / "model", "moe", dtype="float32")
    job, _ = make_job(folder, tmp_path / "run")
    Transformers(**{**SHORT, "max_steps": 2, "save_steps": 1}).fit(job)
    before = trained_weights(job.model)
    again, _ = make_job(folder, tmp_path / "run", resume=True)
    Transformers(**{**SHORT, "max_steps": 2, "save_steps": 1}).fit(again)
    assert difference(trained_weights(again.model), before) == 0.0, "experts come back as they were"
    checkpoint = tmp_path / "run" / "checkpoint-2"
    (checkpoint / "model.safetensors").unlink()
    for name in ("config.json", "model.safetensors"):  # as earlier versions wrote it: under the names of the base
        shutil.copy(folder / name, checkpoint / name)
    (checkpoint / checkpoints.MARKER).write_text('{"seed": 0}')
    with pytest.raises(TunesmithError, match=r"24 weights under names .* such as model\.layers\.0\.mlp\.experts\.0"):
        Transformers(**{**SHORT, "max_steps": 2, "save_steps": 1}).fit(again)


def test_refuses_evaluation_without_data(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="needs evaluation data"):
        Transformers(**SHORT, eval_strategy="steps").fit(make_job(tiny_llama, tmp_path)[0])


def test_unknown_optimizer_is_answered_with_the_nearest(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="did you mean adafactor"):
        Transformers(**SHORT, optim="adafacter").fit(make_job(tiny_llama, tmp_path)[0])


# ---- interruptions --------------------------------------------------------------------------------------------------


def interrupting(number: int, times: int = 1) -> Any:
    """A loss that sends this process SIGINT in its `number`-th call in training."""
    calls = 0

    def loss(model: Any, batch: dict[str, Any]) -> Any:
        nonlocal calls
        calls += model.training
        if model.training and calls == number:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
                time.sleep(1.1 if times > 1 else 0)
        return compute_loss(model, batch)

    return loss


KINDS_OF_RUN = [
    pytest.param(True, 0, 1, 4, id="lora"),
    pytest.param(False, 0, 1, 8, id="full-at-the-end-of-an-epoch"),
    pytest.param(True, 0, 3, 5, id="mid-accumulation", marks=pytest.mark.slow),
    pytest.param(True, 2, 2, 5, id="workers", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("lora", "workers", "accumulated", "call"), KINDS_OF_RUN)
def test_interrupted_and_resumed_is_uninterrupted(
    tiny_llama: Path, tmp_path: Path, lora: bool, workers: int, accumulated: int, call: int
) -> None:
    """Ctrl-C in the midst of a step: it is finished and saved, and the resumed run ends with the same bits."""
    options = {
        **SHORT,
        "max_steps": -1,
        "num_train_epochs": 2.0,
        "gradient_accumulation_steps": accumulated,
        "dataloader_num_workers": workers,
        "eval_strategy": "steps",
        "eval_steps": 3,
    }
    kind = {"dropout": 0.2, "lora": lora}
    splits = DatasetSplits(drawn(15), {"held": drawn(3, seed=1)})
    whole, whole_told = make_job(tiny_llama, tmp_path / "whole", data=splits, **kind)
    assert Transformers(**options).fit(whole) is True

    cut, told = make_job(tiny_llama, tmp_path / "cut", data=splits, compute_loss=interrupting(call), **kind)
    before = signal.getsignal(signal.SIGINT)
    assert Transformers(**options).fit(cut) is False
    assert signal.getsignal(signal.SIGINT) is before
    step = -(-call // accumulated)
    assert told[-1].status == "interrupted"
    assert [event.step for event in told if isinstance(event, StepEnded)] == list(range(1, step + 1))
    assert not list((tmp_path / "cut").glob("*.safetensors"))

    rest, more = make_job(tiny_llama, tmp_path / "cut", data=splits, resume=True, **kind)
    assert Transformers(**options).fit(rest) is True
    assert isinstance(more[0], RunStarted) and more[0].resumed_from == step
    assert difference(saved_weights(tmp_path / "cut"), saved_weights(tmp_path / "whole")) == 0
    steps = [event.step for event in (*told, *more) if isinstance(event, StepEnded)]
    assert steps == [event.step for event in whole_told if isinstance(event, StepEnded)]


def test_stream_is_resumed_where_it_was(tiny_llama: Path, tmp_path: Path) -> None:
    """Training data without length: an interrupted and resumed run sees what an uninterrupted one sees."""
    from torch.utils.data import IterableDataset

    class Endless(IterableDataset):
        def __iter__(self) -> Any:
            return itertools.cycle(drawn(11))

    def run(folder: Path, stop_at: int = 0, **changes: Any) -> list[Any]:
        job, told = make_job(tiny_llama, folder, data=DatasetSplits(Endless(), {"held": drawn(2)}), **changes)

        def emit(event: Any) -> None:
            told.append(event)
            if isinstance(event, StepEnded) and event.step == stop_at:
                os.kill(os.getpid(), signal.SIGINT)

        options = {**SHORT, "gradient_accumulation_steps": 2, "eval_strategy": "steps", "eval_steps": 3}
        Transformers(**options).fit(TrainingJob(**{**vars(job), "emit": emit}))
        return told

    run(tmp_path / "whole")
    assert run(tmp_path / "cut", stop_at=3)[-1].status == "interrupted"
    resumed = run(tmp_path / "cut", resume=True)
    assert resumed[0].resumed_from in (3, 4) and resumed[-1].status == "finished"
    assert difference(saved_weights(tmp_path / "cut"), saved_weights(tmp_path / "whole")) == 0
    job, _ = make_job(tiny_llama, tmp_path / "none", data=DatasetSplits(Endless()))
    with pytest.raises(TunesmithError, match="max_steps"):
        Transformers(**{**SHORT, "max_steps": -1}).fit(job)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "then"), [(0, 0), (1, 1), (2, 2), (2, 0)])
def test_a_stream_is_not_read_again(workers: int, then: int, tiny_llama: Path, tmp_path: Path) -> None:
    """Data that are read in shares: the same numbers as without an interruption, dropout and all, and no row again."""
    from torch.utils.data import IterableDataset

    class Stream(Shared, IterableDataset[Any]):
        pass

    def run(folder: Path, number: int, stop_at: int = 0, **changes: Any) -> tuple[Any, list[Any]]:
        stream = Stream()
        job, told = make_job(tiny_llama, folder, data=DatasetSplits(stream), dropout=0.1, **changes)

        def emit(event: Any) -> None:
            told.append(event)
            if isinstance(event, StepEnded) and event.step == stop_at:
                os.kill(os.getpid(), signal.SIGINT)

        options = {**SHORT, "gradient_accumulation_steps": 3, "dataloader_num_workers": number}
        Transformers(**options).fit(TrainingJob(**{**vars(job), "emit": emit}))
        return stream, told

    _, whole = run(tmp_path / "whole", workers)
    run(tmp_path / "cut", workers, stop_at=3)
    stream, told = run(tmp_path / "cut", then, resume=True)
    step = told[0].resumed_from
    assert step in (3, 4) and told[-1].status == "finished"
    if then == 0:  # in this process
        assert min(stream.seen) == step * 6 and sorted(stream.seen) == list(range(step * 6, 36))
    assert difference(saved_weights(tmp_path / "cut"), saved_weights(tmp_path / "whole")) == 0
    epochs = [{event.step: event.epoch for event in events if isinstance(event, StepEnded)} for events in (whole, told)]
    assert epochs[0][6] == epochs[1][6] == 1.0 and epochs[0][5] == epochs[1][5] == pytest.approx(5 / 6)


class Fresh:
    """Six examples of 15 in an epoch, others in each."""

    def __init__(self, seen: list[tuple[int, int]]) -> None:
        self.rows, self.seen, self.epoch = drawn(15), seen, -1

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        self.seen.append((self.epoch, index))
        return self.rows[(7 * self.epoch + index) % 15]


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [4, 3])
def test_an_epoch_of_fresh_examples_is_resumed_in_its_middle(stop_at: int, tiny_llama: Path, tmp_path: Path) -> None:
    """Three steps an epoch: the data are told the epoch before they are read, also by a resumed run."""

    def run(folder: Path, seen: list[tuple[int, int]], interrupted: int = 0, **changes: Any) -> None:
        job, _ = make_job(tiny_llama, folder, data=DatasetSplits(Fresh(seen)), **changes)

        def emit(event: Any) -> None:
            if isinstance(event, StepEnded) and event.step == interrupted:
                os.kill(os.getpid(), signal.SIGINT)

        options = {**SHORT, "max_steps": -1, "num_train_epochs": 3}
        Transformers(**options).fit(TrainingJob(**{**vars(job), "emit": emit}))

    whole: list[tuple[int, int]] = []
    cut: list[tuple[int, int]] = []
    run(tmp_path / "whole", whole)
    run(tmp_path / "cut", cut, interrupted=stop_at)
    rest: list[tuple[int, int]] = []
    run(tmp_path / "cut", rest, resume=True)
    assert sorted(whole) == [(epoch, index) for epoch in range(3) for index in range(6)]
    assert whole[-len(rest) :] == rest and len(rest) < len(whole)
    assert difference(saved_weights(tmp_path / "cut"), saved_weights(tmp_path / "whole")) == 0


def test_second_interrupt_stops_at_once(tiny_llama: Path, tmp_path: Path) -> None:
    job, told = make_job(tiny_llama, tmp_path, compute_loss=interrupting(3, times=2))
    with pytest.raises(KeyboardInterrupt):
        Transformers(**SHORT).fit(job)
    assert told[-1].status == "interrupted"
    assert [event.step for event in told if isinstance(event, StepEnded)] == [1, 2]


def test_incomplete_checkpoints_are_not_resumed(tiny_llama: Path, tmp_path: Path) -> None:
    """A checkpoint without its marker is passed over and deleted; one of other data is refused."""
    cut, _ = make_job(tiny_llama, tmp_path, compute_loss=interrupting(5))
    Transformers(**SHORT, save_steps=2).fit(cut)
    (tmp_path / "checkpoint-5" / checkpoints.MARKER).unlink()
    (tmp_path / "checkpoint-5" / "optimizer.pt").write_bytes(b"half")
    other, _ = make_job(tiny_llama, tmp_path, resume=True, data=DatasetSplits(drawn(14)))
    with pytest.raises(TunesmithError, match="15 examples, the training data now has 14"):
        Transformers(**SHORT).fit(other)
    rest, told = make_job(tiny_llama, tmp_path, resume=True)
    assert Transformers(**SHORT).fit(rest) is True
    assert told[0].resumed_from == 4


def test_resuming_a_finished_run_saves_it_again(tiny_llama: Path, tmp_path: Path) -> None:
    """A run that was killed between its last checkpoint and its result only writes the result."""
    Transformers(**SHORT).fit(make_job(tiny_llama, tmp_path)[0])
    before = saved_weights(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    rest, told = make_job(tiny_llama, tmp_path, resume=True)
    assert Transformers(**SHORT).fit(rest) is True
    assert difference(saved_weights(tmp_path), before) == 0
    assert not [event for event in told if isinstance(event, StepEnded)]


# ---- other processes ------------------------------------------------------------------------------------------------


def start(arguments: dict[str, Any], processes: int = 1) -> subprocess.Popen[str]:
    """Run this file as a program, with torchrun for several processes."""
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--standalone"]
    command = [*launcher, str(Path(__file__).resolve()), json.dumps(arguments, default=str)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    try:
        output = process.communicate(timeout=300)[0]
    finally:
        process.kill()
    assert process.returncode == 0, output
    return output


def main(
    model: str, output_dir: str, options: dict[str, Any], pause: float = 0.0, metrics: bool = False, **changes: Any
) -> None:
    """The program: fit a job; `pause` seconds in each forward pass leave time for a signal; `metrics`: of `sides`."""

    def slow(model: Any, batch: dict[str, Any]) -> Any:
        time.sleep(pause)
        return sides(model, batch) if metrics else compute_loss(model, batch)

    def emit(event: Any) -> None:
        if isinstance(event, Evaluated):
            print("evaluated", event.step, json.dumps(event.metrics), flush=True)
        if isinstance(event, StepEnded):
            print("step", event.step, event.metrics.get("loss"), flush=True)
            if metrics:
                print("metrics", event.step, json.dumps(event.metrics), flush=True)

    splits = DatasetSplits(drawn(16), {"held": drawn(5, seed=1)})
    parts = {"data": splits, "compute_loss": slow, "emit": emit, **changes}
    job, _ = make_job(Path(model), Path(output_dir), **parts)
    print("finished" if Transformers(**options).fit(job) else "interrupted", flush=True)


def wait_for_step(process: subprocess.Popen[str], step: int) -> None:
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if line.startswith(f"step {step} "):
            return
    raise AssertionError("".join(seen))


@pytest.mark.slow
def test_killed_and_resumed_is_uninterrupted(tiny_llama: Path, tmp_path: Path) -> None:
    """kill -9 between checkpoints costs the steps since the last one, and nothing else."""
    common = {"model": tiny_llama, "options": {**SHORT, "save_steps": 2}, "dropout": 0.2}
    finish(start({**common, "output_dir": tmp_path / "whole"}))
    killed = start({**common, "output_dir": tmp_path / "cut", "pause": 0.3})
    wait_for_step(killed, 3)
    killed.kill()
    killed.communicate()
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    finish(start({**common, "output_dir": tmp_path / "cut", "resume": True}))
    assert difference(saved_weights(tmp_path / "cut"), saved_weights(tmp_path / "whole")) == 0


@pytest.mark.slow
@pytest.mark.parametrize("lora", [False, True])
def test_two_processes_equal_twice_the_batch(tiny_llama: Path, tmp_path: Path, lora: bool) -> None:
    """Two processes with batches of 2 train and evaluate as one with batches of 4."""
    options = {**ARITHMETIC, "eval_strategy": "steps", "eval_steps": 3, "per_device_eval_batch_size": 2}
    common = {"model": tiny_llama, "lora": lora}
    one = {**common, "options": {**options, "per_device_train_batch_size": 4}, "output_dir": tmp_path / "one"}
    two = {**common, "options": {**options, "per_device_train_batch_size": 2}, "output_dir": tmp_path / "two"}
    outputs = [finish(start(one)), finish(start(two, processes=2))]
    assert difference(saved_weights(tmp_path / "one"), saved_weights(tmp_path / "two")) < 2e-5
    told = [re.findall(r"^(?:step|evaluated) .*", output, re.MULTILINE) for output in outputs]
    numbers = [[float(number) for number in re.findall(r"\d+\.\d+", " ".join(lines))] for lines in told]
    assert len(numbers[0]) == 3 + 2  # a loss per step, eval_held_loss and eval_loss
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-5)


@pytest.mark.slow
def test_metrics_that_a_process_lacks(tiny_llama: Path, tmp_path: Path) -> None:
    """Steps of one example per process: of a name that only one of them has, its mean is logged, and nobody waits."""
    changes = {"per_device_train_batch_size": 1, "max_steps": 8, "padding_free": False, "logging_first_step": False}
    options = {**ARITHMETIC, **changes, "logging_steps": 1}
    output = finish(start({"model": tiny_llama, "output_dir": tmp_path, "options": options, "metrics": True}, 2))
    lines = re.findall(r"^metrics \d+ (.*)$", output, re.MULTILINE)
    assert len(lines) == 8
    names, lacking = {"even", "odd", "apart", "loss_even", "loss_odd"}, 0
    for number, line in enumerate(lines):
        logged, expected = json.loads(line), means_of_sides(drawn(16)[2 * number : 2 * number + 2])
        assert {name: logged[name] for name in names & logged.keys()} == pytest.approx(expected)
        lacking += len(expected) == 5
    assert lacking, "some steps have an odd example on one process and an even one on the other"


@pytest.mark.slow
def test_two_processes_are_interrupted_together(tiny_llama: Path, tmp_path: Path) -> None:
    """A signal to the launcher reaches all processes, which agree on the last step; the resumed run is the same."""
    common = {"model": tiny_llama, "options": SHORT, "dropout": 0.2}
    finish(start({**common, "output_dir": tmp_path / "whole"}, processes=2))
    cut = start({**common, "output_dir": tmp_path / "cut", "pause": 0.3}, processes=2)
    wait_for_step(cut, 2)
    cut.send_signal(signal.SIGINT)
    cut.communicate(timeout=300)
    (folder,) = checkpoints.complete(tmp_path / "cut")
    assert folder.name in ("checkpoint-3", "checkpoint-4")
    finish(start({**common, "output_dir": tmp_path / "cut", "resume": True}, processes=2))
    assert difference(saved_weights(tmp_path / "cut"), saved_weights(tmp_path / "whole")) == 0


# ---- checks ---------------------------------------------------------------------------------------------------------

CONFLICTS = [
    ({"save_strategy": "no", "save_steps": 50}, "trainer.save_steps", "warning"),
    ({"max_steps": 10, "num_train_epochs": 2.0}, "trainer.num_train_epochs", "warning"),
    ({"max_steps": 0}, "trainer.max_steps", "error"),
    ({"load_best_model_at_end": True}, "trainer.eval_strategy", "error"),
    ({"load_best_model_at_end": True, "eval_strategy": "epoch"}, "trainer.save_strategy", "error"),
    ({"lr_scheduler_type": "reduce_lr_on_plateau"}, "trainer.eval_strategy", "error"),
    ({"early_stopping_patience": 2, "eval_strategy": "no"}, "trainer.eval_strategy", "error"),
    ({"early_stopping_threshold": 0.1}, "trainer.early_stopping_threshold", "warning"),
    ({"fsdp": "full_shard", "deepspeed": "zero.json"}, "trainer.fsdp", "error"),
    ({"dataloader_num_workers": (os.cpu_count() or 1) + 1}, "trainer.dataloader_num_workers", "warning"),
    ({"dataloader_num_workers": 4 * (os.cpu_count() or 1) + 1}, "trainer.dataloader_num_workers", "error"),
]


@pytest.mark.parametrize(("options", "key", "severity"), CONFLICTS)
def test_conflicts_are_reported(options: dict[str, Any], key: str, severity: str) -> None:
    trainer = Transformers(**options)
    (problem,) = trainer.check(StubPlan({"trainer": {"transformers": trainer}}))
    assert (problem.key, problem.severity) == (key, severity)


OUT_OF_RANGE = {
    "num_train_epochs": 0.0, "max_steps": -2, "per_device_train_batch_size": 0, "learning_rate": 0.0, "adam_beta1": 1.0,
    "warmup_ratio": 10.0, "save_total_limit": 0, "early_stopping_patience": 0, "early_stopping_threshold": -1.0,
}  # fmt: skip


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_values_out_of_range_are_refused(name: str) -> None:
    values = {name: OUT_OF_RANGE[name]}
    (problem,) = structured(Transformers, values, Key("trainer"), "trainer=transformers")[1]
    assert str(problem.key) == f"trainer.{name}"


def test_fp16_on_a_cpu_is_reported() -> None:
    trainer = Transformers(use_cpu=True)
    (problem,) = trainer.check(StubPlan({"trainer": {"transformers": trainer}}, values={"precision": "fp16"}))
    assert problem.key == "precision"


def test_defaults_are_fine() -> None:
    trainer = Transformers()
    assert trainer.check(StubPlan({"trainer": {"transformers": trainer}})) == []


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))


def test_the_plan_says_that_batches_will_be_padded(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"layer_types": ["linear_attention", "full_attention"]}))
    plan = {"values": {"model.path": str(tmp_path)}}
    trainer = Transformers()
    (problem,) = trainer.check(StubPlan({"trainer": {"transformers": trainer}}, **plan))
    assert (problem.key, problem.severity) == ("trainer.padding_free", "warning")
    assert "linear_attention in 1 of 2 layers" in problem.message
    asked = Transformers(padding_free=False)
    assert asked.check(StubPlan({"trainer": {"transformers": asked}}, **plan)) == []
