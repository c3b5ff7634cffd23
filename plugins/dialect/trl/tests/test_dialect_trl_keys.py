"""Every key that TRL's commands read has its place in the table, and `keys.json` is TRL's own.

python plugins/dialect/trl/tests/test_dialect_trl_keys.py      writes keys.json anew
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from tunesmith.catalog import Catalog
from tunesmith.options import options
from tunesmith_dialect_trl.table import DROPPED, KEPT, OLD, ONLY, OURS, OWN, SAME, TRAINERS, defaults
from tunesmith_dialect_trl.thought import THOUGHT

FILE = Path(__file__).parents[1] / "tunesmith_dialect_trl" / "keys.json"
NAMES = {"sft": "SFT", "dpo": "DPO", "kto": "KTO", "reward": "Reward", "grpo": "GRPO", "rloo": "RLOO"}


def dataclasses_of(trainer: str) -> tuple[type, ...]:
    """What TRL's command of a trainer parses a file into."""
    import trl

    script: type = trl.ScriptArguments
    if trainer in ("grpo", "rloo"):
        script = getattr(importlib.import_module(f"trl.scripts.{trainer}"), f"{NAMES[trainer]}ScriptArguments")
    return script, getattr(trl, f"{NAMES[trainer]}Config"), trl.ModelConfig, trl.DatasetMixtureConfig


def derive() -> dict[str, dict[str, Any]]:
    """The keys of each trainer with their defaults; under `common` those that all have with one default."""
    found = {trainer: _keys(dataclasses_of(trainer)) for trainer in TRAINERS}
    first = found[TRAINERS[0]]
    common = {key: value for key, value in first.items() if all(keys.get(key, ...) == value for keys in found.values())}
    own = {trainer: {key: value for key, value in keys.items() if key not in common} for trainer, keys in found.items()}
    return {"common": common, **own}


def _keys(classes: tuple[type, ...]) -> dict[str, Any]:
    keys = {}
    for cls in classes:
        for item in dataclasses.fields(cls):
            default: Any = item.default if item.default is not dataclasses.MISSING else None
            if item.default_factory is not dataclasses.MISSING:
                default = item.default_factory()
            keys[item.name] = default.value if isinstance(default, enum.Enum) else default
    return dict(sorted(keys.items()))


def test_the_keys_are_those_of_trl() -> None:
    """With the transformers of constraints.txt: half of the keys are its TrainingArguments, which grow."""
    import transformers

    if not hasattr(transformers.TrainingArguments, "activation_checkpointing"):
        pytest.skip(f"the keys are of transformers 5.23, installed is {transformers.__version__}")
    assert json.loads(FILE.read_text(encoding="utf-8")) == json.loads(json.dumps(derive()))


def test_no_key_is_forgotten_and_none_is_there_twice() -> None:
    """Of 250 keys of six commands 116 are translated, 36 are possible with some values only, 98 mean nothing here."""
    known = set().union(*(defaults(trainer) for trainer in TRAINERS))
    parts = [set(SAME), set(ONLY), set(DROPPED), set(THOUGHT), set(OLD)]
    assert known - set().union(*parts) == set()
    assert sum(map(len, parts)) == len(set().union(*parts)), "a key has two places"
    strange = set().union(*parts) - known - OWN - set(OLD)
    assert strange == set(), "keys that TRL does not have"
    counts = [len(known & part) for part in parts]
    assert counts == [66, 36, 98, 49, 1] and len(known) == sum(counts)


def test_reasons_are_sentences() -> None:
    for reason in (*DROPPED.values(), *(reason for _, reason in ONLY.values())):
        assert reason.endswith(".") and (reason[0].islower() or reason.startswith("WPO")), reason


def test_the_possible_values_are_trls_defaults() -> None:
    """What is refused is never what TRL does by itself."""
    for key, (possible, _) in ONLY.items():
        found = [defaults(trainer)[key] for trainer in TRAINERS if key in defaults(trainer)]
        assert all(value in possible for value in found), key


@pytest.mark.parametrize("trainer", TRAINERS)
def test_defaults_that_differ_are_kept(trainer: str) -> None:
    """Where ours is another default under the same key, TRL's holds, or a reason says why the run is the same."""
    catalog = Catalog.discover()
    names = {"stage": trainer, "adapter": "lora", "quantizer": "bitsandbytes", "patch": "neftune", "template": "auto"}
    for key, ours in SAME.items():
        kind, _, option = ours.partition(".")
        if not option or key not in defaults(trainer):
            continue
        name = names.get(kind, {"data": "datasets"}.get(kind, "transformers"))
        if name not in catalog.names(kind):
            continue
        known = {item.name: item for item in options(catalog.load(catalog.find(kind, name)))}
        assert kind == "patch" or option in known, f"{ours} of {key} is no option"
        if kind == "patch" or known[option].required:
            continue
        default, theirs = known[option].default, defaults(trainer)[key]
        if theirs != default and theirs is not None and key not in OURS:
            assert key in KEPT, f"{key}: trl {theirs}, ours {default}"


if __name__ == "__main__":
    FILE.write_text(json.dumps(derive(), indent=1) + "\n", encoding="utf-8")
