"""LlamaBoard's settings against LLaMA-Factory's own code: what it saves of its form, and the arguments made of it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tunesmith_dialect_llamafactory.translating import translate

BOARD = json.loads((Path(__file__).parent / "llamaboard.json").read_text(encoding="utf-8"))
ALIKE = (
    "model.path",
    "model.attention",
)  # names are looked up later; attention is the default
TARGETS = ("adapter.target_modules", "all")  # which is what an adapter takes where nothing is said


def leaves(tree: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def said(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in leaves(tree) if key not in ALIKE and (key, value) != TARGETS}


@pytest.mark.parametrize("case", BOARD["cases"])
def test_settings_of_llamaboard_are_the_run_that_it_starts(case: str) -> None:
    given = BOARD["cases"][case]
    arguments = {key: value for key, value in BOARD["arguments"].items() if key not in given["absent"]}
    board = translate({**BOARD["settings"], **given["settings"]})
    flat = translate({**arguments, **given["arguments"]})
    assert said(board.config) == said(flat.config) and board.command == flat.command == "train"
    assert not [note for note in board.notes if note.outcome == "refused"]


def test_a_checkpoint_of_the_whole_model_is_trained_on() -> None:
    board = translate({**BOARD["settings"], **BOARD["cases"]["full-checkpoint"]["settings"]})
    assert board.config["model"]["path"] == "saves/Qwen3-4B-Instruct-2507/full/train_a"
    assert "path" not in board.config["adapter"] and board.sources["model.path"] == ("top.checkpoint_path",)


def test_a_path_that_is_written_counts_over_the_name() -> None:
    board = translate({**BOARD["settings"], "top.model_name": "Mine-0.6B", "top.model_path": "models/mine"})
    assert board.config["model"]["path"] == "models/mine"
    assert not [note for note in board.notes if note.outcome == "refused"]
