"""What trackers share that keep a run with a program: one thread that writes, names, system metrics, tables."""

from tunesmith_library_tracking.sink import Sink as Sink
from tunesmith_library_tracking.sink import Start as Start
from tunesmith_library_tracking.sink import Table as Table
from tunesmith_library_tracking.tracked import Tracked as Tracked
