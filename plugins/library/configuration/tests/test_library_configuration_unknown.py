"""The line to write for what other programs call otherwise."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar, Literal

import pytest
from tunesmith_library_configuration.keys import Key, Origin
from tunesmith_library_configuration.problems import Problem
from tunesmith_library_configuration.unknown import unknown_key, with_line


@dataclass
class Run:
    known_as: ClassVar[dict[str, str]] = {"dtype": "precision", "bf16": "precision=bf16"}
    precision: Literal["auto", "bf16"] = "auto"


@dataclass
class Loader:
    SHORTHAND: ClassVar[str] = "path"
    known_as: ClassVar[dict[str, str]] = {"model_name": "path"}
    path: str
    dtype: str = "auto"


@dataclass
class Sets:
    SHORTHAND: ClassVar[str] = "train"
    train: list[str]


@dataclass
class Lora:
    SHORTHAND: ClassVar[str] = "path"
    known_as: ClassVar[dict[str, str]] = {"r": "rank"}
    also_called: ClassVar[tuple[str, ...]] = ("low_rank",)
    rank: int = 8
    path: str | None = None


@dataclass
class Packed:
    known_as: ClassVar[dict[str, str]] = {"load_in_4bit": "bits=4"}
    bits: int = 4


@dataclass
class Judge:
    SHORTHAND: ClassVar[str] = "url"
    url: str
    weight: float = 1.0


THINGS = {
    "model": {"plain": Loader},
    "data": {"sets": Sets},
    "adapter": {"lora": Lora, "full": object},
    "quantizer": {"auto": Packed, "other": Packed},
    "reward": {"judge": Judge},
}
NAMED = {
    "model": SimpleNamespace(many=False, default=("plain",)),
    "data": SimpleNamespace(many=False, default=("sets",)),
    "adapter": SimpleNamespace(many=False, default=("lora",)),
    "quantizer": SimpleNamespace(many=False, default=()),
    "reward": SimpleNamespace(many=True, default=()),
}


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("model_name", "org/x", "model.path=org/x"),
        ("dtype", "bf16", "precision=bf16"),  # not the model's option of that name: the run's comes first
        ("dtype", "half", "precision=VALUE (possible: auto, bf16)"),
        ("bf16", True, "precision=bf16"),
        ("load_in_4bit", True, "quantizer.bits=4 with quantizer=auto (or other)"),
        ("finetuning_type", "lora", "adapter=lora"),
        ("peft_type", "LORA", "adapter=lora"),
        ("method", "low_rank", "adapter=lora"),
        ("report", "judge", "reward+=[judge]"),
        ("lora", {"r": 4}, "adapter=lora adapter.rank=4"),
        ("training_args", {"r": 4, "unheard": 1, "model_name": "x"}, "adapter.rank=4 model.path=x"),
        ("train", "a.json,b.json", "data.train=[a.json,b.json]"),
        ("weight", 2, "reward.judge.weight=2"),
    ],
)
def test_keys(name, value, line):
    problem = unknown_key(name, {name: value}, None, Run, NAMED, THINGS.__getitem__)
    assert problem.advice == f"write {line}"


@pytest.mark.parametrize(
    ("kind", "value", "line"),
    [
        ("model", "org/name", "model.path=org/name"),
        ("model", "gpt2", "model.path=gpt2"),
        ("data", ["a.json", "b.json"], "'data.train=[a.json, b.json]'"),
        ("adapter", "runs/x", "adapter.path=runs/x"),
        ("adapter", "Low_Rank", "adapter=lora"),
        ("adapter", "oft", None),  # no address, and an adapter does without
        ("adapter", "lroa", None),  # which has its nearest
        ("reward", "http://localhost/s", "reward.judge.url=http://localhost/s"),
    ],
)
def test_names(kind, value, line):
    many = NAMED[kind].many
    written = SimpleNamespace(tree={kind: {value: {}} if many else {"name": value}}, origins={})
    problem = Problem(Key(kind, value if many else "name"), f"nothing is called {value}.", "installed: some")
    found = with_line(problem, written, NAMED, THINGS.__getitem__)
    assert found.advice == (f"write {line}\ninstalled: some" if line else "installed: some")


def test_in_a_file():
    origin = Origin("c.yaml", 3, "lora")
    problem = unknown_key("type", {"type": "lora"}, origin, Run, NAMED, THINGS.__getitem__)
    assert problem.advice == "write adapter: lora"
    written = SimpleNamespace(tree={"model": {"name": "org/x"}}, origins={Key("model", "name"): Origin("c.yaml", 1)})
    found = with_line(Problem(Key("model", "name"), "no."), written, NAMED, THINGS.__getitem__)
    assert found.advice.splitlines()[0] == "write model: {path: org/x}"


def test_nothing_alike_is_listed_for_a_key_that_is_like_none() -> None:
    problem = unknown_key("evals_per_epoch", {"evals_per_epoch": 2}, None, Run, {}, lambda kind: {})
    assert "possible" not in problem.advice and "tunesmith config schema" in problem.advice
