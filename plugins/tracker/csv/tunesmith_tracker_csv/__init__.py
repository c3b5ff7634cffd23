"""Training metrics as tables for spreadsheets and pandas."""

from __future__ import annotations

from typing import Annotated, ClassVar

from tunesmith import plugin
from tunesmith.ranges import folder_in_run
from tunesmith_library_tracking import Sink, Tracked


@plugin
class Csv(Tracked):
    """Writes CSV files: metrics, options, evaluations."""

    program: ClassVar[str] = "csv"
    package: ClassVar[str] = "csv"  # Python's own
    install: ClassVar[str] = ""

    folder: Annotated[str, folder_in_run] = "csv"  # of the files, in the run's folder

    def sink(self) -> Sink:
        from .sink import CsvSink

        return CsvSink(self.folder)
