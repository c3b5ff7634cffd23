"""A part is made once, whoever asks at the same time."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from tunesmith_library_studio import Studio, Workspace
from tunesmith_library_studio.parts import part


class Whole:
    def __init__(self) -> None:
        self.making, self.made = threading.RLock(), 0

    @part
    def one(self) -> object:
        time.sleep(0.02)
        self.made += 1
        return object()

    @part
    def other(self) -> object:
        return [self.one]


def test_a_part_is_made_once() -> None:
    whole = Whole()
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(whole.one)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert whole.made == 1 and len(set(map(id, found))) == 1 and len(found) == 8
    assert whole.other == [whole.one] and "one" in vars(whole)


def test_what_is_warmed_up_begins_nothing(tmp_path: Path) -> None:
    studio = Studio(Workspace(Path("runs"), tmp_path))
    studio.warm_up()
    assert {"curves", "watching", "runs"} <= vars(studio).keys()
    assert "jobs" not in vars(studio) and not (tmp_path / "runs").exists()
