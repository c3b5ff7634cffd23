"""Who started this process is seen in its environment."""

from __future__ import annotations

import pytest
from tunesmith_library_configuration.launchers import is_main_process, launched

NAMES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "PET_NNODES")


@pytest.mark.parametrize(
    ("environment", "count"),
    [
        ({}, None),
        ({"WORLD_SIZE": "4", "RANK": "1", "LOCAL_RANK": "1"}, 4),
        ({"WORLD_SIZE": "4", "RANK": "1"}, 4),
        ({"WORLD_SIZE": "2", "RANK": "1", "PET_NNODES": "2"}, None),  # pods, not processes
        ({"WORLD_SIZE": "4", "RANK": "1", "LOCAL_RANK": "1", "PET_NNODES": "2"}, 4),
    ],
)
def test_how_many_a_launcher_started(
    environment: dict[str, str], count: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert launched() == count
    assert is_main_process() == (environment.get("RANK", "0") == "0")
