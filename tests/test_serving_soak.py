"""Many clients at once, of whom few behave: nothing breaks, nothing leaks, and who behaves is answered as if alone.

`TUNESMITH_SOAK` is how many seconds it takes, or more, while what the server holds still grows.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from collections.abc import Iterator, Sequence

import pytest
from malformed_requests import Malformed, malformed
from noisy_clients import Clients, questions
from served_command import ServedCommand, gauges
from tunesmith_library_testing.tiny import save_tiny_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

SECONDS = float(os.environ.get("TUNESMITH_SOAK", "60"))
CLIENTS, NONSENSE, SEED, MODEL = 64, 1_000, 0, "base"
ROUNDS, PATIENCE = 5, 20  # at least, and at most until what the server holds has settled
SETTLED = 8.0  # MB that a round may add then: a leak adds more in each
GOOD = ("whole: 200", "streamed: 200", "streamed slowly: 200")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedCommand]:
    folder = tmp_path_factory.mktemp("soak")
    model = save_tiny_model(folder / MODEL, max_position_embeddings=256)
    words = [f"model.path={model}", "template=chatml", "precision=fp32", "--model-name", MODEL]
    with ServedCommand(words, folder) as server:
        yield server


def test_a_crowd(server: ServedCommand) -> None:
    """64 clients: answers that are right, answers that are given up, and a thousand bodies that make no sense."""
    sent = 0

    def nonsense() -> Iterator[Malformed]:
        nonlocal sent
        for seed in itertools.count(SEED):
            for each in malformed(NONSENSE, seed):
                sent += 1
                yield each

    held = [server.resident()]

    async def crowd() -> Clients:
        clients = Clients(server.port, await questions(server.port, 32, 24, MODEL), nonsense(), MODEL, SEED)
        while len(held) <= ROUNDS or (_growth(held) >= SETTLED and len(held) <= PATIENCE):
            await clients.run(CLIENTS, SECONDS / ROUNDS)
            await asyncio.sleep(2)
            held.append(server.resident())
        while sent < NONSENSE:  # a slow machine may not have come to all of them
            await asyncio.gather(*(clients.malformed() for _ in range(CLIENTS)))
        return clients

    clients = asyncio.run(crowd())
    tally = clients.tally
    print("\n".join(f"{count:6} {what}" for what, count in sorted(tally.answered.items())))
    print(f"rounds of {SECONDS / ROUNDS:.0f} s: " + ", ".join(f"{size:.0f}" for size in held) + " MB")
    assert not tally.wrong, f"{len(tally.wrong)} problems:\n" + "\n".join(tally.wrong[:20])
    assert all(tally.answered[kind] > 0 for kind in GOOD), "nobody was answered"
    _is_free(server)
    assert _growth(held) < SETTLED
    assert server.stop() == 143
    assert "Traceback" not in server.said(), server.said()[server.said().index("Traceback") - 1000 :][:5000]


def _growth(held: Sequence[float]) -> float:
    """MB that the last round added."""
    return held[-1] - held[-2] if len(held) > 1 else 0.0


def _is_free(server: ServedCommand) -> None:
    """No request holds a place any more."""
    deadline = time.monotonic() + 20
    while True:
        found = asyncio.run(gauges(server.port))
        busy = {name: value for name, value in found.items() if name.endswith(("_running", "_waiting")) and value}
        if not busy or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    assert any(name.endswith("_running") for name in found) and not busy, busy or sorted(found)
