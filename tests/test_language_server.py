"""The schema as an editor uses it: through the YAML language server, where it is installed (`npm install -g
yaml-language-server`), and by a validator of JSON Schema."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from language_server import LanguageServer
from tunesmith.cli.schema import config_schema
from tunesmith_library_configuration.reading import read_yaml

pytestmark = pytest.mark.slow
RECIPES = sorted(
    path for path in (Path(__file__).parents[1] / "conf").glob("*.yaml") if path.stem not in ("datasets", "models")
)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return config_schema()


@pytest.fixture(scope="module")
def server(schema: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageServer]:
    program = shutil.which(os.environ.get("YAML_LANGUAGE_SERVER", "yaml-language-server"))
    if program is None or shutil.which("node") is None:
        pytest.skip("yaml-language-server is not installed")
    file = tmp_path_factory.mktemp("schema") / "schema.json"
    file.write_text(json.dumps(schema), "utf-8")
    started = LanguageServer([program, "--stdio"], file)
    yield started
    started.close()


def test_every_recipe_is_valid(schema: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(schema)
    for path in RECIPES:
        faults = [error.message for error in validator.iter_errors(read_yaml(path)[0])]
        assert not faults, f"{path}: {faults}"


RIGHT = [
    "adapter: lora\n",
    "adapter: {name: lora, rank: 8}\n",
    "adapter:\n  rank: 8\n",
    "adapter: {name: lora, rank: '${oc.env:RANK}'}\nprecision: ${oc.env:PRECISION}\n",
    "defaults: [base.yaml]\nquantizer: null\nloss: my.py:Mine\n",
    "reward: [rewards.py:polite, exact_match]\ntracker: {csv: {}, console: false, 'acme:board': {}}\n",
    "optimizer: {name: mine.py:Mine, beta: 1}\ntracker: plot\n",
    "exporter: {verify: false, merged: {}}\n",
    "data: {train: [a.json, {path: b.json, weight: 2}]}\ntrainer: {learning_rate: 1e-4}\n",
]
WRONG = [
    ("adapter: lor\n", '1: Value is not accepted. Valid values: "freeze", "full", "llama_pro", "lora", "oft".'),
    ("adapter:\n  name: lora\n  rank: eight\n", '3: Incorrect type. Expected "integer".'),
    ("adapter:\n  name: lora\n  rnak: 8\n", "3: Property rnak is not allowed."),
    ("stage:\n  name: dpo\n  beta: -1\n", "3: Value is below the exclusive minimum of 0."),
    ("adapter.rank: 8\n", "1: Property adapter.rank is not allowed."),
    ("data:\n  train: [{pth: a.json}]\n", '2: Incorrect type. Expected "string".'),
    ("adaptor: lora\n", "1: Property adaptor is not allowed."),
]


@pytest.mark.parametrize("text", [*RIGHT, *(path.read_text("utf-8") for path in RECIPES)])
def test_what_is_right_is_not_underlined(server: LanguageServer, text: str) -> None:
    assert server.faults(text) == []


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_what_is_wrong_is_underlined(server: LanguageServer, text: str, said: str) -> None:
    assert said in server.faults(text)


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("adapter: ", {"lora", "full", "oft"}),
        ("adapter:\n  name: ", {"lora", "full", "oft"}),
        ("stage:\n  name: dpo\n  ", {"beta", "label_smoothing", "max_length"}),
        ("trainer:\n  lr_scheduler_type: ", {"cosine", "linear"}),
        ("data:\n  train:\n    - path: a.json\n      ", {"format", "weight"}),
        ("tracker:\n  ", {"csv", "plot", "wandb"}),
        ("", {"model", "defaults", "adapter", "seed"}),
    ],
)
def test_completions(server: LanguageServer, text: str, offered: set[str]) -> None:
    found = server.completions(text)
    assert offered <= set(found)
    assert not any(name.startswith("_") for name in found)  # what a plugin remembers is no option


def test_hover_tells_what_an_option_is(server: LanguageServer) -> None:
    """With default and range; of a name, what the plugin does."""
    shown = server.hover("adapter:\n  name: lora\n  rank: 8\n", "rank")
    assert "default 8; from 1 to 65,536" in shown
    assert "LoRA" in server.hover("adapter:\n  name: lora\n", "name")
    assert "DoRA" in server.hover("adapter: lora\n", "lora")
