"""Processes that wait for one another for ever: how that is noticed, and which of them did not come.

A process that waits in a collective operation stands in torch's communication, or where it asks its device for a
number; one for which the others wait stands anywhere else.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence

from tunesmith_library_launching.reports import innermost, pulse_file, waits
from tunesmith_library_launching.workers import Worker

_SHOWN = 8  # processes of which the place is shown


def stuck(workers: Sequence[Worker], timeout: float) -> dict[int, str] | None:
    """Where each process of this machine stands, by rank, when none has moved for `timeout` seconds; else None.

    Processes that do not report where they are cannot hang.
    """
    now, places = time.time(), {}
    for worker in workers:
        if worker.code is not None:
            continue
        file = pulse_file(worker.desk, worker.rank)
        try:
            if now - file.stat().st_mtime < timeout:
                return None
            places[worker.rank] = file.read_text(encoding="utf-8")
        except OSError:
            return None
    return places


def missing(places: Mapping[int, str]) -> list[int]:
    """The processes for which the others wait, as far as their places tell; empty when they do not.

    Args:
        places: the stack of each as `traceback` writes it, by rank.
    """
    elsewhere = [rank for rank, place in places.items() if not waits(place)]
    if not elsewhere or len(elsewhere) == len(places):
        usual = Counter(innermost(place) for place in places.values()).most_common(1)[0]
        elsewhere = [rank for rank, place in places.items() if innermost(place) != usual[0]]
        return elsewhere if len(elsewhere) < len(places) / 2 else []
    return elsewhere


def described(places: Mapping[int, str], timeout: float) -> str:
    """What the user is told: who did not come, and where all of them stand."""
    away = missing(places)
    names = ", ".join(map(str, away[:_SHOWN])) + (f" and {len(away) - _SHOWN} more" if len(away) > _SHOWN else "")
    whose = f"; the others wait for rank {names}" if away else ""
    lines = [f"no process of the run has moved for {timeout:.0f} s (parallel.timeout){whose}"]
    shown = sorted(places, key=lambda rank: (rank not in away, rank))[:_SHOWN]
    for rank in sorted(shown):
        place = places[rank].rstrip() if rank in away or not away else innermost(places[rank])
        lines.append(f"rank {rank} stands at\n{place}" if place else f"rank {rank} tells of no place")
    return "\n".join(lines)
