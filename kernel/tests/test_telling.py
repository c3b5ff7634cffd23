"""Trackers hear what happens; one that fails is reported once, and stops neither the run nor the others."""

import pytest
from tunesmith import hookimpl, plugin
from tunesmith.assemble import assemble
from tunesmith.catalog import Catalog
from tunesmith.compose import compose
from tunesmith.types import RunEnded, Saved, StepEnded

EVENTS = [StepEnded(1, 2, 0.5, {}), Saved(1, "checkpoint-1"), StepEnded(2, 2, 1.0, {}), RunEnded("finished")]


def listener(hear):
    @plugin
    class Listener:
        """Calls a function."""

        @hookimpl
        def on_event(self, event):
            hear(event)

    return Listener


def assembled(plugins, folder, **listeners):
    added = {address.replace("__", "."): listener(hear) for address, hear in listeners.items()}
    names = [address.partition(".")[2] for address in added if address.startswith("tracker.")]
    others = [f"patch=[{address.partition('.')[2]}]" for address in added if address.startswith("patch.")]
    catalog = Catalog.of({**plugins, **added})
    file = folder / "x.yaml"
    file.write_text("model: {path: org/tiny}\ndata: {train: [a.json]}\n")
    return assemble(compose(file, [f"tracker=[{', '.join(names)}]", *others], catalog), "train", catalog)


def test_a_failing_tracker_is_reported_once(plugins, tmp_path, caplog):
    heard, tried = [], []

    def lost(event):
        tried.append(event)
        raise ConnectionError("the service is gone")

    def full(event):
        if isinstance(event, Saved | RunEnded):
            raise OSError(28, "No space left on device")

    run = assembled(plugins, tmp_path, tracker__lost=lost, tracker__full=full, tracker__good=heard.append)
    for event in EVENTS:
        run.tell(event)
    assert heard == tried == EVENTS, "it is told further on: the service may come back"
    assert sorted(record.getMessage() for record in caplog.records if "failed" in record.getMessage()) == [
        "tracker.full failed at Saved, the run goes on: OSError: [Errno 28] No space left on device",
        "tracker.lost failed at StepEnded, the run goes on: ConnectionError: the service is gone",
    ]


def test_an_interruption_and_another_kind_get_through(plugins, tmp_path):
    def stop(event):
        raise KeyboardInterrupt

    def wrong(event):
        raise ValueError("no")

    with pytest.raises(KeyboardInterrupt):
        assembled(plugins, tmp_path, tracker__stop=stop).tell(EVENTS[0])
    with pytest.raises(ValueError, match="no"):
        assembled(plugins, tmp_path, patch__wrong=wrong).tell(EVENTS[0])
