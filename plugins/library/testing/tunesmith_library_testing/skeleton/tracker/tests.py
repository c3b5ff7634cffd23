import csv

from tunesmith.types import RunStarted, StepEnded
from tunesmith_library_testing import TrackerSuite
from tunesmith_tracker_placeholder import Placeholder


class TestPlaceholder(TrackerSuite):
    plugin = Placeholder
    writes = ("placeholder.csv",)


def test_the_table(tmp_path):
    tracker = Placeholder()
    tracker.on_event(event=RunStarted(tmp_path, 1, {}))
    tracker.on_event(event=StepEnded(1, 1, 1.0, {"loss": 2.5, "learning_rate": 0.1}))
    with (tmp_path / "placeholder.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert rows[0] == {"step": "1", "metric": "loss", "value": "2.5"}
    assert len(rows) == 2
