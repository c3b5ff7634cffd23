"""DPO: the conformance suite, columns and batches, the choice of the reference, the road from data to adapter."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith.errors import ConfigError
from tunesmith.types import DatasetSplits, TrainingJob
from tunesmith_library_chat.chatml import CHATML as WITH_TOOLS
from tunesmith_library_testing import StageSuite
from tunesmith_library_testing.parts import CHATML, TOOLS, StubPlan, load_plain, records
from tunesmith_library_training.reference import Reference
from tunesmith_stage_dpo import DirectPreference


def pair(question: str, chosen: str, rejected: str, **more: Any) -> dict[str, Any]:
    answers = {"chosen": chosen, "rejected": rejected}
    turns = {name: [{"role": "assistant", "content": text}] for name, text in answers.items()}
    return {"prompt": [{"role": "user", "content": question}], **turns, **more}


ROWS = [
    pair("Who counts the waves?", "Nobody counts them twice.", "I do."),
    pair("再见！", "Good bye, 朋友.", "The tide turns, and the whales sing of it all night long."),
    pair("1 + 2?", "3", "4"),
]


def adapted(model: Any, **options: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(**{"r": 4, "target_modules": "all-linear", **options}))


def examples(tokenizer: Any, stage: Any = None, rows: Any = ROWS, template: Any = CHATML) -> list[dict[str, Any]]:
    columns = (stage or DirectPreference()).encode(rows=rows, processor=tokenizer, template=template.bind(tokenizer))
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def batch_of(tokenizer: Any, stage: Any, padding_free: bool = True) -> dict[str, Any]:
    return stage.collate(examples=examples(tokenizer, stage), padding_free=padding_free, processor=None)


class TestDirectPreference(StageSuite):
    plugin = DirectPreference
    rows = ROWS
    learning_rate = 1e-2

    def model(self, folder: Path) -> Any:
        torch.manual_seed(0)
        return adapted(load_plain(folder))


# ---- data -----------------------------------------------------------------------------------------------------------


def test_only_the_answers_are_trained(tiny_bpe: Any) -> None:
    """Also where the prompt holds turns of the assistant, and tools are offered."""
    history = [*({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}), *ROWS[0]["prompt"]]
    row = {**ROWS[0], "prompt": history, "tools": list(TOOLS)}
    (encoded,) = examples(tiny_bpe, rows=[row], template=WITH_TOOLS)
    for name in ("chosen", "rejected"):
        trained = [label for label in encoded[f"{name}_labels"] if label != -100]
        assert tiny_bpe.decode(trained) == row[name][0]["content"] + "<|im_end|>"
        whole = WITH_TOOLS.render([*history, *row[name]], row["tools"]).text
        assert tiny_bpe.decode(encoded[f"{name}_input_ids"]) == whole


@pytest.mark.parametrize(("longer", "count"), [("cut", 2), ("drop", 1)])
def test_long_pairs(tiny_bpe: Any, longer: str, count: int, caplog: pytest.LogCaptureFixture) -> None:
    """Answers lose their end or the pair is left out; a pair of which an answer has nothing left always is."""
    rows = [pair("a", "b", "c"), pair("a", "b", "d " * 40), pair("a " * 60, "b", "c")]
    stage = DirectPreference(max_length=40, longer=longer)
    found = examples(tiny_bpe, stage, rows)
    assert len(found) == count
    assert all(len(example[f"{name}_input_ids"]) <= 40 for example in found for name in ("chosen", "rejected"))
    assert "are over 40 tokens" in caplog.text


def test_batch_order(tiny_bpe: Any) -> None:
    """All chosen sequences come before all rejected ones; a pair is one item."""
    rows, stage = examples(tiny_bpe), DirectPreference()
    order = [row[f"{name}_input_ids"] for name in ("chosen", "rejected") for row in rows]
    concatenated = stage.collate(examples=rows, padding_free=True, processor=None)
    assert concatenated["num_items"] == 3.0
    assert concatenated["input_ids"][0].tolist() == [token for ids in order for token in ids]
    padded = stage.collate(examples=rows, padding_free=False, processor=None)
    masks = padded["attention_mask"].bool()
    assert [row[mask].tolist() for row, mask in zip(padded["input_ids"], masks, strict=True)] == order


# ---- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"loss": "exo_pair"}, "stage.label_smoothing"),
        ({"loss": "hinge", "label_smoothing": 0.1}, "stage.label_smoothing"),
        ({}, None),
    ],
)
def test_check(options: dict[str, Any], key: str | None) -> None:
    stage = DirectPreference(**options)
    assert [problem.key for problem in stage.check(plan=StubPlan({"stage": {"dpo": stage}}))] == ([key] if key else [])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("beta", 0.0),
        ("label_smoothing", 0.5),
        ("ld_alpha", 1.5),
        ("rpo_alpha", -1.0),
        ("max_length", 1),
        ("loss_chunk_size", -1),
    ],
)
def test_ranges(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"stage\.{option} cannot be {value}"):
        TestDirectPreference.make(**{option: value})


# ---- the reference --------------------------------------------------------------------------------------------------


def moved_adapter(model: Any) -> Any:
    """An adapter that does something, as if it was trained."""
    model = adapted(model)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.5)
    return model


def make_job(model: Any, rows: Any, stage: Any, folder: Path) -> TrainingJob:
    data = DatasetSplits(rows, {"held": rows[:2]})
    nothing = {"build_optimizer": lambda **_: None, "emit": lambda event: None, "compute_loss": stage.compute_loss}
    return TrainingJob(
        model=model,
        processor=None,
        data=data,
        output_dir=folder,
        seed=0,
        precision="fp32",
        resume=False,
        collate=partial(stage.collate, processor=None),
        **nothing,
    )


def test_the_adapter_is_switched_off(tiny_llama: Path, tiny_bpe: Any) -> None:
    """Also within a wrapper such as DDP; afterwards it is on again, and dropout too."""
    stage = DirectPreference()
    batch = batch_of(tiny_bpe, stage)
    base, model = load_plain(tiny_llama), moved_adapter(load_plain(tiny_llama)).train()

    class Wrapper(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = model

        def forward(self, **inputs: Any) -> Any:
            return self.module(**inputs)

    before = stage.compute_loss(model=model, batch=batch)
    with torch.no_grad():
        expected = stage.reference_log_probs(base, batch)
    for trained in (model, Wrapper()):
        found = stage.reference_columns(trained, batch)
        for name, values in found.items():
            assert not values.requires_grad
            torch.testing.assert_close(values, expected[name], rtol=1e-5, atol=1e-4)
    assert stage.compute_loss(model=model, batch=batch).loss == before.loss
    assert abs(before.loss.item() / 3 - 0.6931) > 5e-3, "the adapter must make a difference"


def test_a_model_that_begins_elsewhere_gets_a_second_one(tiny_llama: Path, tmp_path: Path) -> None:
    """An adapter that was trained before, PiSSA, and full training are measured against their own beginning."""
    fresh, trained = adapted(load_plain(tiny_llama), lora_dropout=0.5).train(), moved_adapter(load_plain(tiny_llama))
    pissa = adapted(load_plain(tiny_llama), init_lora_weights="pissa")
    plain = load_plain(tiny_llama)
    found = {"fresh": fresh, "trained": trained, "pissa": pissa, "plain": plain}
    loaded = []

    def load(address: str, adapter: str | None = None) -> Any:
        loaded.append((address, adapter))
        return load_plain(tiny_llama, dtype="bfloat16")

    for model in found.values():
        stage = DirectPreference()
        values = {"model.path": "org/base", "adapter.path": "runs/before"}
        stage.configured(plan=StubPlan({"stage": {"dpo": stage}}, values=values))
        assert stage.prepare(job=make_job(model, [], stage, tmp_path), load=load) is None
        second = stage._reference.model
        assert second is None or second.dtype == torch.float32, "it computes in the numbers of the trained model"
    assert loaded == [("org/base", "runs/before")] * 3
    named = DirectPreference(reference="org/other", reference_adapter="runs/other")
    named.prepare(job=make_job(fresh, [], named, tmp_path), load=load)
    assert loaded[-1] == ("org/other", "runs/other") and named._reference.model is not None


def test_without_reference_it_says_so(tiny_llama: Path, tiny_bpe: Any) -> None:
    stage = DirectPreference()
    with pytest.raises(TunesmithError, match=r"stage\.reference=MODEL"):
        stage.compute_loss(model=load_plain(tiny_llama), batch=batch_of(tiny_bpe, stage))


@pytest.mark.parametrize("options", [{}, {"ld_alpha": 0.3}, {"loss": "ipo"}])
def test_precomputed_reference(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    """Columns computed before training give the loss that a reference model gives in every step."""
    stage = DirectPreference(precompute_reference=True, **options)
    rows = examples(tiny_bpe, stage)
    stage.configured(plan=StubPlan({"stage": {"dpo": stage}}, values={"trainer.per_device_eval_batch_size": 2}))
    job = stage.prepare(job=make_job(load_plain(tiny_llama), rows, stage, tmp_path), load=None)
    assert len(job.data.train) == 3 and len(job.data.eval["held"]) == 2
    other = moved_adapter(load_plain(tiny_llama))
    with torch.no_grad():
        live = DirectPreference(**options)
        live._reference = Reference(load_plain(tiny_llama))
        batches = [
            stage.collate(examples=[data[0], data[1]], padding_free=True, processor=None)
            for data in (job.data.train, rows)
        ]
        found, expected = stage.compute_loss(model=other, batch=batches[0]), live.compute_loss(other, batches[1])
    torch.testing.assert_close(found.loss, expected.loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.metrics, expected.metrics, rtol=1e-4, atol=1e-3)


def test_each_process_precomputes_its_share(
    tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three processes, one after the other: their shares are different batches, together all of the data in order."""
    from tunesmith_library_training import processes

    rows = [pair(f"Say {number}.", "The tide turns. " * number, "No.") for number in range(1, 8)]
    shares: list[Any] = []

    def prepared() -> Any:
        stage = DirectPreference(precompute_reference=True)
        stage.configured(plan=StubPlan({"stage": {"dpo": stage}}, values={"trainer.per_device_eval_batch_size": 2}))
        job = make_job(load_plain(tiny_llama), examples(tiny_bpe, stage, rows), stage, tmp_path)
        return stage.prepare(job=job, load=None).data.train

    def gathered(own: Any) -> list[Any]:
        shares.append(own)
        return [own] if processes.rank() < 2 else [shares[0], shares[2], own]  # every second one is of the held-out

    whole = prepared()
    monkeypatch.setattr(processes, "join", lambda use_cpu: None)
    monkeypatch.setattr(processes, "gathered", gathered)
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        last = prepared()
    assert [sorted(share) for share in shares[::2]] == [[0, 3], [1], [2]]
    assert last.columns == whole.columns and len(set(whole.columns["chosen_reference_log_prob"])) == 7


# ---- the road -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", ["lora", "full"])
@pytest.mark.parametrize("precompute", [False, True])
@pytest.mark.slow
def test_learns_to_prefer(tiny_llama: Path, tmp_path: Path, adapter: str, precompute: bool) -> None:
    """From a file of pairs to a run in which all margins are positive, whatever the reference is computed by."""
    import tunesmith

    rows = [{"instruction": f"Say {n}.", "chosen": f"The tide {n}.", "rejected": f"whale {n}"} for n in range(24)]
    (tmp_path / "pairs.json").write_text(json.dumps(rows))
    config = {
        "model": {"path": str(tiny_llama)},
        "template": "chatml",
        "data": {"train": [str(tmp_path / "pairs.json")], "val_size": 8, "cache": False},
        "stage": {"name": "dpo", "precompute_reference": precompute},
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
    first = next(event for event in events if "loss" in event)
    assert first["loss"] == pytest.approx(0.6931, abs=1e-3) and first["rewards/margins"] == pytest.approx(0, abs=1e-3)
    last = [event for event in events if "eval_loss" in event][-1]
    accuracies = {value for name, value in last.items() if name.endswith("rewards/accuracies")}
    assert accuracies == {1.0} and last["eval_loss"] < 0.4
