"""A part is made once, whoever asks at the same time."""

from __future__ import annotations

import threading
import time

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
