"""Names and files that options give: mistakes are told in the plan."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from tunesmith_library_testing.parts import StubPlan
from tunesmith_trainer_transformers import Transformers
from tunesmith_trainer_transformers.names import members

PLAN: dict[str, Any] = {"stage": {"sft": None}}


def problems(plan: dict[str, Any] = PLAN, **options: Any) -> list[tuple[str, str]]:
    found = Transformers(**options).check(plan=StubPlan(plan))
    return [(str(problem.key), f"{problem.message} {problem.advice}") for problem in found]


def test_they_are_those_of_transformers() -> None:
    from transformers.trainer_utils import FSDPOption
    from transformers.training_args import OptimizerNames

    assert set(members("training_args.py", "OptimizerNames")) == {name.value for name in OptimizerNames}
    assert set(members("trainer_utils.py", "FSDPOption")) == {name.value for name in FSDPOption}
    assert members("training_args.py", "Nothing") == members("nothing.py", "Nothing") == ()


def test_an_optimizer_that_is_none() -> None:
    ((key, text),) = problems(optim="adamw_torch_fusd")
    assert key == "trainer.optim" and "did you mean adamw_torch_fused?" in text
    assert problems(optim="adafactor") == []
    assert problems({**PLAN, "optimizer": {"muon": None}}, optim="nope") == [], "a plugin takes its place"


def test_sharding_in_words_that_mean_nothing() -> None:
    ((key, text),) = problems(fsdp="full_shrd auto_wrap")
    assert key == "trainer.fsdp" and "there is no full_shrd." in text and "did you mean full_shard?" in text
    assert problems(fsdp="full_shard auto_wrap") == problems(fsdp="true") == []


def test_accelerate_shards_what_the_run_does_not_know_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    ((key, text),) = problems()
    assert key == "trainer.fsdp" and "ACCELERATE_USE_FSDP is set" in text and "torchrun" in text
    assert problems(fsdp="full_shard") == []
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    assert [key for key, _ in problems()] == ["trainer.fsdp", "trainer.deepspeed"]


def test_a_deepspeed_configuration_that_is_not_there(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zero3.json").write_text("{}")
    ((key, text),) = problems(deepspeed=str(tmp_path / "zero_3.json"))
    assert key == "trainer.deepspeed" and "no such file" in text and "did you mean zero3.json?" in text
    assert [key for key, _ in problems(deepspeed="/nope")] == ["trainer.deepspeed"]
    (tmp_path / "broken.json").write_text('{\n"a": 1,\n}')
    ((_, text),) = problems(deepspeed=str(tmp_path / "broken.json"))
    assert "broken.json:3: it is no JSON" in text
    (tmp_path / "list.json").write_text("[]")
    ((_, text),) = problems(deepspeed=str(tmp_path / "list.json"))
    assert "list.json: it holds no mapping" in text
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "deepspeed" else find(name))
    ((_, text),) = problems(deepspeed=str(tmp_path / "zero3.json"))
    assert "pip install deepspeed" in text


def test_a_deepspeed_configuration_that_nobody_starts_processes_for(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "zero3.json"
    path.write_text("{}")
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: find("json") if name == "deepspeed" else find(name))
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    ((key, text),) = problems(deepspeed=str(path))
    assert key == "trainer.deepspeed" and f"parallel=deepspeed parallel.config={path}" in text
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert problems(deepspeed=str(path)) == []
