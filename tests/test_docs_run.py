"""Every page of the documentation as a session: what it tells to type works, and prints what it shows."""

import os
import time
from pathlib import Path

import pytest
from docs_marks import ROOT, matches, runs
from docs_session import Session
from docs_stand_ins import StandIns

pytestmark = pytest.mark.slow

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PAGES = [page for page in PAGES if page.name != "CHANGELOG.md" and not page.name.endswith(".zh.md")]


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> StandIns:
    """One folder for all processes of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    return StandIns((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "stand_ins")


@pytest.mark.parametrize(
    "page", [page for page in PAGES if runs(page)], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_the_page_is_true(page: Path, stand_ins: StandIns, tmp_path: Path, record_property: object) -> None:
    folder = tmp_path / "session"
    folder.mkdir()
    begun = time.process_time()
    Session(page, folder, stand_ins).run()
    print(f"{page.name}: {time.process_time() - begun:.1f} s of the processor")


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        (["loss 9.70  lr 1e-4", "…", "done: runs/x"], "loss 3.1 lr 2.5e-06\nmore\nmuch more\ndone: runs/x\n", True),
        (["loss 9.70", "done"], "loss 3.1\nmore\ndone\n", False),
        (["a (…) b"], "a (x y) b", True),
        (["two words"], "two other words", False),
        (["begins", "…"], "begins\nand goes on", True),
        (["…", "ends"], "begins\nends", True),
    ],
)
def test_output_is_compared_by_its_words(shown: list[str], printed: str, same: bool) -> None:
    assert matches(shown, printed) == same
