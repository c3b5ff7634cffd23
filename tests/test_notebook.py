"""The notebook of the documentation: it runs, and what it shows comes from a run of what it says.

After a change of it: `jupyter execute --inplace docs/notebooks/first_run.ipynb`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # what reads and runs notebooks is installed with the programs of slow tests

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebooks" / "first_run.ipynb"
_NUMBER = re.compile(r"\d+([.,e:-]+\d+)*|0x[0-9a-f]+")


@pytest.fixture(scope="module")
def stored() -> Any:
    nbformat = pytest.importorskip("nbformat")
    return nbformat.read(NOTEBOOK, 4)


def outputs(cell: Any) -> list[str]:
    """What a cell shows: what it prints, without numbers, and the kinds of what it displays."""
    printed = [output.text for output in cell.get("outputs", ()) if output.get("name") == "stdout"]
    kinds = [kind for output in cell.get("outputs", ()) for kind in sorted(output.get("data", {}))]
    return [_NUMBER.sub("0", "".join(printed)), *kinds]


def test_stored_outputs_are_of_one_run_and_of_no_machine(stored: Any) -> None:
    """Every cell was run, in order, without error; nothing tells where; pictures are small."""
    pytest.importorskip("nbformat").validate(stored)
    cells = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    text = NOTEBOOK.read_text("utf-8")
    assert not re.search(r"/tmp|/home|/root|/work|\\\\Users|site-packages", text)
    assert len(text) < 200_000
    shown = [kind for cell in cells for kind in outputs(cell)]
    assert "image/png" in shown and "text/html" in shown
    assert {output.output_type for cell in cells for output in cell.outputs} <= {
        *("stream", "display_data", "execute_result")
    }


def test_it_runs_and_shows_what_is_stored(stored: Any, tmp_path: Path) -> None:
    """Made anew in a fresh folder: the same outputs up to numbers, and the same answers of the model."""
    pytest.importorskip("ipykernel")
    nbclient = pytest.importorskip("nbclient")
    fresh = pytest.importorskip("nbformat").read(NOTEBOOK, 4)
    nbclient.NotebookClient(
        fresh, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    for before, now in zip(stored.cells, fresh.cells, strict=True):
        assert outputs(now) == outputs(before), now.source
    assert "I am Smithy, a small model.\n" in "".join(text for cell in fresh.cells for text in outputs(cell))
