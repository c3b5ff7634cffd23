"""What cannot be shared is said before anything is loaded, and a model that does not fit is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tunesmith.errors import TunesmithError
from tunesmith.traits import ModelTraits, ParallelTraits, StageTraits
from tunesmith_library_sequence.dividing import Divider, concatenated, lengthened
from tunesmith_library_sequence.exchanging import Sharers
from tunesmith_library_sequence.options import SequenceParallel
from tunesmith_library_testing.parts import StubPlan
from tunesmith_library_training import parts
from tunesmith_library_training.batches import collate


@dataclass(eq=False, kw_only=True)
class Mine(SequenceParallel):
    total: int | None = 4

    @property
    def traits(self) -> ParallelTraits:
        return ParallelTraits(processes=self.total, alike=self.sharing(self.total))


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)


def problems(plugin: Mine, values: dict[str, Any] | None = None, **traits: Any) -> list[tuple[str, str]]:
    stage = SimpleNamespace(traits=StageTraits(**traits))
    model = SimpleNamespace(traits=ModelTraits(attention_interface=True))
    plan = StubPlan({"parallel": {"mine": plugin}, "stage": {"sft": stage}, "model": {"own": model}}, values=values)
    return [(str(problem.key), problem.message) for problem in plugin.sequence_problems(plan)]


@pytest.mark.parametrize(
    ("options", "values", "traits", "key"),
    [
        ({}, {}, {}, None),
        ({"sequence": "ring"}, {}, {}, None),
        ({"sequence": "ulysses", "sequence_size": 2}, {}, {"token_loss": True}, None),
        ({"sequence_size": 2}, {}, {}, "parallel.sequence_size"),
        ({"sequence": "ring", "sequence_size": 3}, {}, {}, "parallel.sequence_size"),
        ({"sequence": "ring", "total": 1}, {}, {}, "parallel.sequence"),
        ({"sequence": "ring"}, {"parallel.tensor": 2}, {}, "parallel.sequence"),
        ({"sequence": "ring"}, {}, {"generates": True}, "parallel.sequence"),
        ({"sequence": "ring"}, {}, {"scores": True}, "parallel.sequence"),
        ({"sequence": "ring"}, {"model.attention": "sdpa"}, {}, "model.attention"),
        ({"sequence": "ring"}, {"model.attention": "auto"}, {}, None),
    ],
)
def test_what_does_not_go_with_it(
    options: dict[str, Any], values: dict[str, Any], traits: dict[str, Any], key: str | None
) -> None:
    found = problems(Mine(**options), values, **traits)
    assert [where for where, _ in found] == ([key] if key else [])


@pytest.mark.parametrize(
    ("config", "sequence", "said"),
    [
        ({"num_attention_heads": 6}, "ulysses", "6 attention heads cannot be divided over 4 processes."),
        ({"num_attention_heads": 6}, "ring", None),
        ({"num_attention_heads": 8, "attention_dropout": 0.1}, "ulysses", None),
        ({"attention_dropout": 0.1}, "ring", "drops attention weights (0.1 of them)"),
        ({"layer_types": ["linear_attention", "full_attention"]}, "ring", "linear_attention in 1 of 2 layers"),
        ({"text_config": {"num_attention_heads": 6}}, "ulysses", "6 attention heads"),
    ],
)
def test_what_a_models_config_tells(tmp_path: Path, config: dict[str, Any], sequence: str, said: str | None) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = problems(Mine(sequence=sequence), {"model.path": str(tmp_path)})  # type: ignore[arg-type]
    assert len(found) == (said is not None)
    assert all(said in message for _, message in found if said)


def test_processes_that_share_a_batch_are_alike() -> None:
    assert Mine().traits.alike == 1
    assert Mine(sequence="ring").traits.alike == 4
    assert Mine(sequence="ring", sequence_size=2).traits.alike == 2


def tiny(attention: str, **config: Any) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "head_dim": 4}
    settings |= {"num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0, **config}
    made = AutoConfig.for_model("llama", **settings)
    return AutoModelForCausalLM.from_config(made, attn_implementation=attention)


@pytest.mark.parametrize(
    ("attention", "config", "said"),
    [("sdpa", {}, "is sdpa"), ("per_sequence", {"attention_dropout": 0.1}, "drops attention weights")],
)
def test_a_loaded_model_is_asked_too(attention: str, config: dict[str, Any], said: str) -> None:
    from tunesmith_library_training.attention import register

    register()
    model = tiny(attention, **config)
    with pytest.raises(TunesmithError, match=said):
        parts.divide(model, Divider("ring", Sharers()))
    parts.divide_alike(model, torch.nn.Linear(1, 1))
    assert isinstance(parts.part_of(model, {}), parts.Whole)


def test_a_loss_over_whole_batches_is_refused() -> None:
    """Each process's gradient would be the whole one, and all of them are added up."""
    from tunesmith_library_training.attention import register

    register()
    model = tiny("per_sequence").train()
    parts.divide(model, Divider("ring", Sharers()))
    tokens = torch.arange(5)[None]
    with torch.no_grad():
        model(input_ids=tokens)
    with pytest.raises(TunesmithError, match="token_loss or sequence_log_probs"):
        model(input_ids=tokens)


def test_a_second_model_is_divided_as_the_first_or_left_whole(caplog: pytest.LogCaptureFixture) -> None:
    from tunesmith_library_training.attention import register

    register()
    trained, second, other = tiny("per_sequence"), tiny("per_sequence"), tiny("sdpa")
    parts.divide(trained, Divider("ring", Sharers()))
    batch = collate([{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}], True)
    for model in (second, other, other):
        parts.divide_alike(model, trained)
    assert not isinstance(parts.part_of(second, batch), parts.Whole)
    assert isinstance(parts.part_of(other, batch), parts.Whole)
    with parts.undivided():
        assert isinstance(parts.part_of(second, batch), parts.Whole)


def test_images_are_refused() -> None:
    batch = collate([{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}], True)
    part = Divider("ulysses", Sharers())(batch)
    given = {"input_ids": batch["input_ids"], "cu_seq_lens_q": batch["cu_seq_lens_q"], "pixel_values": torch.ones(2, 5)}
    with pytest.raises(TunesmithError, match="pixel_values"):
        part.inputs(given, torch.zeros(1, dtype=torch.int64))


def test_a_padded_batch_becomes_a_row() -> None:
    examples = [{"input_ids": list(range(1, n + 1)), "labels": list(range(1, n + 1))} for n in (3, 1, 5)]
    row, expected = concatenated(collate(examples, False)), collate(examples, True)
    assert row.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(torch.as_tensor(row[name]), torch.as_tensor(value)), name


def test_a_batch_that_is_too_short_is_made_longer_at_its_end() -> None:
    row = collate([{"input_ids": [5, 6], "labels": [5, 6]}], True)
    longer = lengthened(row, 3)
    assert longer["input_ids"].tolist() == [[5, 6, 0, 0, 0]]
    assert longer["labels"].tolist() == [[-100, 6, -100, -100, -100]]
    assert longer["cu_seq_lens_q"].tolist() == [0, 5] and longer["max_length_q"] == 5
    assert longer["num_items"] == row["num_items"] == 1.0
