"""docs/media.md: its table of families is that of the tiny models that tests train, ask and export."""

from __future__ import annotations

import re
from pathlib import Path

from tunesmith_library_testing.seeing import seeing_families

PAGE = Path(__file__).parents[1] / "docs" / "media.md"
KINDS = ("image", "video", "audio")


def test_the_table_has_every_family_and_what_it_reads() -> None:
    rows = re.findall(r"^\| [^|]+ \| `(\w+)` \|([^|]*)\|([^|]*)\|([^|]*)\|", PAGE.read_text(encoding="utf-8"), re.M)
    told = {name: {kind for kind, cell in zip(KINDS, cells, strict=True) if cell.strip()} for name, *cells in rows}
    assert told == {name: set(facts.media) for name, facts in seeing_families().items()}
