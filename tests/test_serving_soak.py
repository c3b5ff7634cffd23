"""Many clients at once, of whom few behave: nothing breaks, nothing leaks, and who behaves is answered as if alone.

`TUNESMITH_SOAK` is how many seconds it takes.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from collections.abc import Iterator

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
GROWTH = 60.0  # MB, after the warm-up
WARM = 0.4  # of the time
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
        for share in (WARM, 1 - WARM):
            await clients.run(CLIENTS, SECONDS * share)
            await asyncio.sleep(2)
            held.append(server.resident())
        while sent < NONSENSE:  # a slow machine may not have come to all of them
            await asyncio.gather(*(clients.malformed() for _ in range(CLIENTS)))
        return clients

    clients = asyncio.run(crowd())
    tally = clients.tally
    print("\n".join(f"{count:6} {what}" for what, count in sorted(tally.answered.items())))
    first, warm, end = held
    print(f"{SECONDS:.0f} s: {first:.0f} MB at first, {warm:.0f} MB when warm, {end:.0f} MB at the end")
    assert not tally.wrong, f"{len(tally.wrong)} problems:\n" + "\n".join(tally.wrong[:20])
    assert all(tally.answered[kind] > 0 for kind in GOOD), "nobody was answered"
    _is_free(server)
    assert end - warm < GROWTH
    assert server.stop() == 143
    assert "Traceback" not in server.said(), server.said()[server.said().index("Traceback") - 1000 :][:5000]


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
