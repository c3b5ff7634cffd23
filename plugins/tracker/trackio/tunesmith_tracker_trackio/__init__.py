"""Runs in Trackio."""

from __future__ import annotations

from typing import ClassVar

from tunesmith import plugin
from tunesmith_library_tracking import Sink, Tracked


@plugin
class Trackio(Tracked):
    """Keeps runs in Trackio: on this machine (`trackio show`), with a server of one's own, or in a Space.

    The token of a Space is HF_TOKEN, that of a server TRACKIO_WRITE_TOKEN.
    """

    program: ClassVar[str] = "trackio"
    package: ClassVar[str] = "trackio"
    install: ClassVar[str] = "pip install 'tunesmith-tracker-trackio[program]'"
    guarded: ClassVar[tuple[str, ...]] = ("project", "space_id", "bucket_id", "server_url", "private", "log_model")

    project: str | None = None  # null is TRACKIO_PROJECT, else tunesmith
    group: str | None = None  # runs that are shown together
    space_id: str | None = None  # Space that shows the runs, USER/NAME; null is TRACKIO_SPACE_ID, else this machine
    bucket_id: str | None = None  # where a Space keeps its numbers; null is one of its own
    server_url: str | None = None  # of a server of one's own; null is TRACKIO_SERVER_URL
    private: bool = True  # whether a new Space is seen by its owner alone
    log_model: bool = False  # whether the files of the result are kept with the run, or their folder named alone

    def sink(self) -> Sink:
        from .sink import TrackioSink

        return TrackioSink(self)
