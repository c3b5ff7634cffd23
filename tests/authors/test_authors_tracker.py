from tracker_prometheus import Prometheus
from tunesmith.types import RunStarted, StepEnded
from tunesmith_library_testing import TrackerSuite


class TestPrometheus(TrackerSuite):
    plugin = Prometheus
    one_file = True
    writes = ("metrics.prom",)


def test_the_newest_value_stands(tmp_path):
    tracker = Prometheus()
    for event in (RunStarted(tmp_path, 2), *(StepEnded(step, 2, step / 2, {"loss": 3.0 - step}) for step in (1, 2))):
        tracker.on_event(event=event)
    lines = (tmp_path / "metrics.prom").read_text().splitlines()
    assert lines == ['tunesmith{metric="loss"} 1.0', 'tunesmith{metric="step"} 2']
