"""docs/media.md: its table of families says what tests train, ask and export, and how boxes are written."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from tunesmith_library_testing.seeing import seeing_families

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "media.md"
KINDS = ("image", "video", "audio")
SHOWN = {  # by column, the tests whose families have a mark there
    "train": [
        ("tests/test_seeing_families.py", "test_a_family_learns_and_is_exported"),
        (
            "plugins/stage/sft/tests/test_stage_sft_families.py",
            "test_loss_and_gradients_are_the_sum_of_single_examples",
        ),
    ],
    "chat": [
        (
            "plugins/engine/transformers/tests/test_engine_transformers_media.py",
            "test_answers_are_those_of_transformers",
        ),
    ],
    "export": [("tests/test_seeing_families.py", "test_a_family_learns_and_is_exported")],
}


def rows() -> dict[str, list[str]]:
    """The cells behind the name in the tests, by that name."""
    found = re.findall(r"^\| [^|]+ \| `(\w+)` \|(.*)\|$", PAGE.read_text(encoding="utf-8"), re.M)
    return {name: [cell.strip() for cell in re.split(r"(?<!\\)\|", cells)] for name, cells in found}


def families_of(file: str, test: str) -> Collection[str]:
    """The families that a test is run for."""
    spec = importlib.util.spec_from_file_location(f"page_{Path(file).stem}", ROOT / file)
    assert spec and spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    marks = {mark.name: mark for mark in getattr(module, test).pytestmark}
    assert "skip" not in marks and "skipif" not in marks
    names, values = marks["parametrize"].args
    assert names == "family"
    return list(values)


def test_the_table_has_every_family_and_what_it_reads() -> None:
    told = {
        name: {kind for kind, cell in zip(KINDS, cells, strict=False) if cell == "✓"} for name, cells in rows().items()
    }
    assert told == {name: set(facts.media) for name, facts in seeing_families().items()}


@pytest.mark.parametrize("column", SHOWN)
def test_a_mark_is_a_test_that_is_run(column: str) -> None:
    pytest.importorskip("torch")
    place = len(KINDS) + list(SHOWN).index(column)
    marked = {name for name, cells in rows().items() if cells[place] == "✓"}
    for file, test in SHOWN[column]:
        assert marked == set(families_of(file, test)), test


def test_boxes_are_told_as_they_are_written() -> None:
    from tunesmith_library_media.grounding import OF_PROCESSORS

    for name, cells in rows().items():
        form = OF_PROCESSORS.get(seeing_families()[name].processor_class)
        shape = f", `{form.box}`" if form and "loc" not in form.box else ""  # PaliGemma's is told by its tokens
        assert cells[-1].replace("\\|", "|") == (form.told + shape if form else "")
