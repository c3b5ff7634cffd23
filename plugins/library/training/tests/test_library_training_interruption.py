"""The first signal is a request, the second one an end."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from tunesmith_library_training import interruption
from tunesmith_library_training.interruption import Interruption


def tell(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_the_run(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, "TOGETHER", 0.0)
    former = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), Interruption() as asked:
        assert not asked.requested
        tell(number)
        assert asked.requested
        tell(number)
    assert signal.getsignal(number) == former


def test_what_a_launcher_passes_on_is_the_same_signal() -> None:
    with Interruption() as asked:
        tell(signal.SIGINT)
        tell(signal.SIGTERM)
        assert asked.requested


def test_outside_the_main_thread_it_changes_nothing() -> None:
    former = signal.getsignal(signal.SIGINT)
    found = []

    def work() -> None:
        with Interruption() as asked:
            found.append((signal.getsignal(signal.SIGINT), asked.requested))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(former, False)]
